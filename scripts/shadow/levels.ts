import type { GlobalTable } from '../../processors/processor.js';
import type { EpochMs } from '../../schemas/brand.js';
import type { BreakerLevel } from '../../schemas/generated/records.js';

/** The breaker's levels as they were at any time. */
export class LevelTimeline {
  /** By scope, oldest first. */
  private readonly scopes = new Map<string, BreakerLevel[]>();

  constructor(events: readonly BreakerLevel[]) {
    for (const event of [...events].sort((a, b) => a.at - b.at)) {
      const of = this.scopes.get(event.scope) ?? [];
      of.push(event);
      this.scopes.set(event.scope, of);
    }
  }

  /** As route would have seen it then. */
  at(time: EpochMs): GlobalTable<BreakerLevel> {
    const get = (scope: string): BreakerLevel | undefined => {
      const events = this.scopes.get(scope) ?? [];
      let [low, high] = [0, events.length];
      while (low < high) {
        const middle = (low + high) >>> 1;
        if ((events[middle]?.at ?? Infinity) <= time) low = middle + 1;
        else high = middle;
      }
      return events[low - 1];
    };
    const entries = function* (this: LevelTimeline): Generator<[string, BreakerLevel]> {
      for (const scope of this.scopes.keys()) {
        const level = get(scope);
        if (level !== undefined) yield [scope, level];
      }
    }.bind(this);
    return { get, entries: () => entries() as MapIterator<[string, BreakerLevel]> };
  }

  /** What the levels did between two times. */
  summary(from: EpochMs, to: EpochMs): readonly LevelSummary[] {
    return [...this.scopes].map(([scope, events]) => {
      const within = events.filter(({ at, heartbeat }) => !heartbeat && at >= from && at <= to);
      let current = this.at(from - 1).get(scope);
      let lowestRateFactor = current?.rateFactor ?? 1;
      let [loweredMs, since] = [0, from];
      for (const event of [...within, null]) {
        const until = event?.at ?? to;
        if ((current?.level ?? 0) > 0) loweredMs += until - since;
        since = until;
        current = event ?? current;
        lowestRateFactor = Math.min(lowestRateFactor, current?.rateFactor ?? 1);
      }
      return { scope, changes: within.length, loweredMs, lowestRateFactor };
    });
  }
}

export interface LevelSummary {
  readonly scope: string;
  readonly changes: number;
  /** Of the time looked at, at a level above 0: milliseconds. */
  readonly loweredMs: number;
  readonly lowestRateFactor: number;
}
