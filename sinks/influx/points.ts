import { Point } from '@influxdata/influxdb-client';
import { PipelineError } from '../../schemas/error.js';
import type { BreakerLevel, ChannelWindow } from '../../schemas/generated/records.js';

/**
 * The points analysts query: measurement, tag and field names and types are a contract as fixed as the topics
 * (docs/analysts.md). Every point carries its full field set, so that writing it again overwrites it whole.
 */
export const MEASUREMENT_OF = { channel: 'channel_window', tenant: 'tenant_window' } as const;

const UNITS = [
  { ms: 3_600_000, name: 'h' },
  { ms: 60_000, name: 'm' },
  { ms: 1_000, name: 's' },
] as const;

/** A window's length as its tag says it: 5m, 10s. */
export const windowTag = (windowMs: number): string => {
  const unit = UNITS.find(({ ms }) => windowMs % ms === 0);
  return unit === undefined ? `${windowMs}ms` : `${windowMs / unit.ms}${unit.name}`;
};

/** Tags of a window's point, by name. Never a message id, a user or a template: each value is a series for ever. */
export const tagsOf = (window: ChannelWindow): Readonly<Record<string, string>> => {
  const { series, channel, provider, lane, tenantId } = window;
  const length = windowTag(window.windowMs);
  if (series === 'tenant') return { tenant: present(tenantId), channel, window: length };
  return { channel, provider: present(provider), lane: present(lane), window: length };
};

const present = (tag: string | null): string => {
  if (tag === null) throw new PipelineError('defect', 'a window lacks what its series is named by');
  return tag;
};

export const windowPoint = (window: ChannelWindow): Point => {
  const point = new Point(MEASUREMENT_OF[window.series]).timestamp(window.windowStart);
  for (const [name, value] of Object.entries(tagsOf(window))) point.tag(name, value);
  point
    .intField('attempts', window.attempts)
    .intField('messages', window.messages)
    .intField('accepted', window.accepted)
    .intField('delivered', window.delivered)
    .intField('failed_recipient', window.failedRecipient)
    .intField('failed_content', window.failedContent)
    .intField('failed_account', window.failedAccount)
    .intField('failed_provider', window.failedProvider)
    .intField('throttled', window.throttled)
    .intField('timeout', window.timeout)
    .intField('unknown', window.unknown)
    .intField('reversed', window.reversed)
    .intField('revision', window.revision)
    .intField('cost_micros', Number(window.costMicros))
    .intField('units', window.units);
  if (window.series === 'tenant') return point;
  return point
    .floatField('error_rate', window.errorRate)
    .floatField('latency_p50_ms', window.latencyP50Ms)
    .floatField('latency_p95_ms', window.latencyP95Ms)
    .floatField('latency_p99_ms', window.latencyP99Ms)
    .floatField('latency_max_ms', window.latencyMaxMs)
    .floatField('queue_age_p99_ms', window.queueAgeP99Ms);
};

export const levelPoint = (level: BreakerLevel): Point =>
  new Point('breaker_level')
    .timestamp(level.at)
    .tag('scope', level.scope)
    .intField('level', level.level)
    .stringField('cause', level.cause);
