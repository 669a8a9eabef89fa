import { asError } from '../../schemas/error.js';
import type { TopicNames } from '../../topologies/topic-names.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import { LANES } from '../../schemas/generated/records.js';
import { readDecoded } from '../read/decoded.js';
import type { Accounting } from './accounting.js';
import type { BreakerLog } from './breaker-log.js';
import type { DemoInstallation } from './installation.js';
import type { Bookings } from './money.js';
import type { AttemptsSeen } from './provider-log.js';
import type { WindowTotals } from './window-totals.js';

/** What learns from the records that the reader sees. */
export interface Learners {
  readonly accounting: Accounting;
  readonly bookings: Bookings;
  readonly attempts: AttemptsSeen;
  readonly breaker: BreakerLog;
  readonly windowTotals: WindowTotals;
}

export interface Observer {
  /** When the last record was seen; ms since the epoch. */
  readonly lastSeen: () => number;
  /** Reads on to the end that exists now, then ends. @throws what the reading threw */
  readonly finish: () => Promise<void>;
  /** Why the reading broke off, if it did. */
  readonly failure: () => Error | undefined;
}

const outcomesOf = (names: TopicNames, table: readonly TopicSpec[]): readonly TopicSpec[] => {
  const wanted = new Set<string>([
    names.feedback,
    names.refused,
    names.deadLetters,
    names.breakerLevels,
    names.windows,
    ...LANES.map((lane) => names.parked(lane)),
  ]);
  return table.filter((spec) => wanted.has(spec.name));
};

/** A read_committed reader that runs beside the pipeline, as any producer's own would. */
export const observe = (
  { settings, codecs, table }: DemoInstallation,
  names: TopicNames,
  learners: Learners,
): Observer => {
  const end = new AbortController();
  let lastSeen = Date.now();
  let failure: Error | undefined;
  const read = async (): Promise<void> => {
    for await (const batch of readDecoded({
      settings,
      codecs,
      topics: outcomesOf(names, table),
      to: end.signal,
    }))
      for (const record of batch) {
        // The breaker's heartbeats never end; they are no sign of work.
        if (record.at.topic !== names.breakerLevels) lastSeen = Date.now();
        learners.accounting.observe(record);
        learners.bookings.observe(record);
        learners.attempts.observe(record);
        learners.breaker.observe(record);
        learners.windowTotals.observe(record);
      }
  };
  const reading = read().catch((thrown: unknown) => {
    failure = asError(thrown);
  });
  return {
    lastSeen: () => lastSeen,
    failure: () => failure,
    finish: async () => {
      end.abort();
      await reading;
      if (failure !== undefined) throw failure;
    },
  };
};
