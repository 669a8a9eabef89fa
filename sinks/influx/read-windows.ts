import type { EpochMs } from '../../schemas/brand.js';
import { type InfluxSeries, influxQl } from './influxql.js';
import type { InfluxSettings } from './settings.js';

const COUNTS = [
  'attempts',
  'messages',
  'accepted',
  'delivered',
  'failed_recipient',
  'failed_content',
  'failed_account',
  'failed_provider',
  'throttled',
  'timeout',
  'unknown',
  'reversed',
  'revision',
  'cost_micros',
  'units',
] as const;

/** A channel_window point as stored; names are the measurement's own. */
export interface StoredWindow extends Readonly<Record<(typeof COUNTS)[number], number>> {
  readonly windowStart: EpochMs;
  readonly channel: string;
  readonly provider: string;
  readonly lane: string;
  /** Its length: 5m, 10s. */
  readonly window: string;
  readonly error_rate: number;
}

const FIELDS = [...COUNTS, 'error_rate'] as const;

/**
 * The channel windows that InfluxDB holds, by its own query interface, oldest first.
 * @throws PipelineError influx_unavailable, influx_refused
 */
export const readWindows = async (
  settings: InfluxSettings,
  since: EpochMs,
  until: EpochMs = Number.MAX_SAFE_INTEGER,
): Promise<readonly StoredWindow[]> => {
  const series = await influxQl(settings)(
    `SELECT ${FIELDS.map((name) => `"${name}"`).join(', ')} FROM "channel_window" ` +
      `WHERE time >= ${since}ms AND time < ${Math.min(until, LATEST_MS)}ms ` +
      'GROUP BY "channel", "provider", "lane", "window"',
  );
  return series.flatMap(rowsOf).sort((a, b) => a.windowStart - b.windowStart);
};

/** InfluxDB's times are nanoseconds in 64 bits. */
const LATEST_MS = 9_223_372_036_854;

const rowsOf = ({ tags = {}, columns, values }: InfluxSeries): readonly StoredWindow[] =>
  values.map((row) => {
    const value = (name: string): number => Number(row[columns.indexOf(name)] ?? 0);
    const counts = Object.fromEntries(FIELDS.map((name) => [name, value(name)]));
    return {
      ...(counts as Record<(typeof FIELDS)[number], number>),
      windowStart: value('time'),
      channel: tags['channel'] ?? '',
      provider: tags['provider'] ?? '',
      lane: tags['lane'] ?? '',
      window: tags['window'] ?? '',
    };
  });
