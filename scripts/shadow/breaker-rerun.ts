import { breaker } from '../../processors/breaker/breaker.js';
import type { Breaker } from '../../processors/breaker/breaker.js';
import type { ScopeState } from '../../processors/breaker/scope.js';
import { scopeOf } from '../../processors/breaker/scope.js';
import type { ConfigTable } from '../../processors/configuration.js';
import type { Decision } from '../../processors/processor.js';
import type { EpochMs } from '../../schemas/brand.js';
import type {
  BreakerCommand,
  BreakerLevel,
  ChannelWindow,
} from '../../schemas/generated/records.js';

/** Timers of the real breaker run about every second. */
const TICK_MS = 1_000;

/**
 * The breaker's own decisions over the windows as they were closed, under another configuration: the same pure stage,
 * in the windows' own time. Heartbeats are left out.
 */
export const rerunBreaker = (
  windows: readonly ChannelWindow[],
  commands: readonly BreakerCommand[],
  config: ConfigTable,
  until: EpochMs,
): readonly BreakerLevel[] => {
  const ordered = windows
    .filter(({ series, provider }) => series === 'channel' && provider !== null)
    .sort((a, b) => a.closedAt - b.closedAt);
  const given = [...commands].sort((a, b) => a.at - b.at);
  const scopes = new Map<string, ScopeState>();
  const newest = new Map<string, BreakerCommand>();
  const events: BreakerLevel[] = [];
  const view = (now: EpochMs) => ({
    now,
    state: { scopes },
    tables: { config, commands: newest },
  });
  const apply = ({ emit = [], put = [] }: Decision<Breaker>): void => {
    for (const one of put)
      if (one.value === null) scopes.delete(one.key);
      else scopes.set(one.key, one.value);
    for (const { value } of emit) if (!value.heartbeat) events.push(value);
  };
  const tick = (now: EpochMs): void => {
    while (given[0] !== undefined && given[0].at <= now) {
      const command = given.shift();
      if (command !== undefined) newest.set(command.scope, command);
    }
    apply(breaker.tick?.(view(now)) ?? {});
  };
  let now = ordered[0]?.closedAt ?? until;
  let offset = 0;
  for (let at = 0; at < ordered.length;) {
    const { closedAt } = ordered[at] ?? { closedAt: until };
    for (; now + TICK_MS < closedAt; now += TICK_MS) tick(now + TICK_MS);
    now = closedAt;
    // Windows of one transaction are judged together.
    for (; ordered[at]?.closedAt === closedAt; at++) {
      const value = ordered[at];
      if (value === undefined) break;
      const key = Buffer.from(scopeOf(value.channel, value.provider ?? ''));
      const place = { topic: 'windows', partition: 0, offset: offset++ };
      const record = { at: place, key, value, timestamp: closedAt, headers: {}, size: 0 };
      apply(breaker.decide({ ...record, from: 'windows' }, null, view(now)));
    }
    apply(breaker.flush?.(view(now)) ?? {});
  }
  for (; now + TICK_MS <= until; now += TICK_MS) tick(now + TICK_MS);
  return events;
};
