import type { ChannelConfig } from '../schemas/config.js';
import type { EpochMs } from '../schemas/brand.js';
import type { Codecs } from '../schemas/topic-codecs.js';
import type { KafkaRecord } from '../schemas/record.js';
import type { DeliveryFeedback } from '../schemas/generated/records.js';
import {
  attemptName,
  type Bookings,
  type Break,
  type BreakSum,
  type FeedbackEntry,
  Reconciliation,
  type StatementLine,
} from '../sinks/postgres/reconciliation.js';
import type { RawRecord } from './runtime/raw-record.js';
import { partitionId } from './runtime/raw-record.js';
import { readRange } from './runtime/range-reader.js';
import type { RangeRequest } from './runtime/range-reader.js';
import type { ClientSettings } from './runtime/rdkafka-client.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** A message without expiresAt may wait so long for its first attempt, and no longer. */
const WAIT_MS = 72 * HOUR_MS;
/** A request's createdAt may lie so far ahead of the time it was written. */
const AHEAD_MS = HOUR_MS;
/** Attempts that one run derives again; more are left to the next one. */
const REBUILT_AT_MOST = 20_000;

export const COMPARISONS = ['counters', 'reservations', 'attempts', 'statement'] as const;

export interface ComparisonDone {
  readonly comparison: (typeof COMPARISONS)[number];
  readonly done: boolean;
  /** What was left out, and why; empty: nothing. */
  readonly note: string;
}

export interface ReconciliationReport {
  /** UTC, YYYY-MM-DD: of the requests' createdAt. */
  readonly day: string;
  readonly comparisons: readonly ComparisonDone[];
  /** Rows that were compared. */
  readonly counts: Awaited<ReturnType<Reconciliation['counts']>>;
  /** 0: everything adds up. */
  readonly breaks: bigint;
  /** By class and currency, all of them. */
  readonly sums: readonly BreakSum[];
  /** At most some of each class. */
  readonly examples: readonly Break[];
  readonly milliseconds: number;
}

export interface ReconciliationRequest {
  readonly day: string;
  readonly postgres: { readonly url: string; readonly schema: string };
  readonly settings: ClientSettings;
  readonly codecs: Codecs;
  readonly feedbackTopic: string;
  /** A worker's reader has a group that its access rules name. */
  readonly groupId?: string;
  /** Of `feedback`: of an older day it may lack some. */
  readonly retentionMs: number;
  /** Pending for longer than this is overdue. */
  readonly horizonMs: number;
  readonly consumers: { readonly settle: string; readonly attempts: string };
  readonly now: EpochMs;
  readonly statement?: {
    readonly provider: string;
    readonly lines: AsyncIterable<readonly StatementLine[]>;
  };
  /** Breaks of each class in the report. */
  readonly ofEachClass: number;
  readonly say?: (line: string) => void;
}

/** The day before, UTC. */
export const dayBefore = (now: EpochMs): string =>
  new Date(now - DAY_MS).toISOString().slice(0, 10);

/** How long money may be pending: waiting, then the carrier with the longest to report. */
export const pendingHorizonMs = (channels: Iterable<ChannelConfig>): number =>
  WAIT_MS +
  Math.max(
    72 * HOUR_MS,
    ...[...channels].flatMap(({ providers }) =>
      providers.map(({ receiptHorizonMs }) => receiptHorizonMs),
    ),
  );

const FIELDS = [
  'tenantId',
  'messageId',
  'generation',
  'attempt',
  'sequence',
  'state',
  'settlement',
  'createdAt',
] as const;

/** Runs all comparisons on one snapshot; `end` gets it afterwards, to keep or to book. */
export const reconcile = async <T>(
  request: ReconciliationRequest,
  end: (reconciliation: Reconciliation, report: ReconciliationReport) => Promise<T>,
): Promise<{ readonly report: ReconciliationReport; readonly ended: T }> => {
  const began = performance.now();
  const { postgres, day, feedbackTopic, consumers } = request;
  const reconciliation = await Reconciliation.open({
    databaseUrl: postgres.url,
    schema: postgres.schema,
    ...{ day, feedbackTopic, consumers },
  });
  try {
    const comparisons = await compare(reconciliation, request);
    const sums = await reconciliation.sums();
    const report: ReconciliationReport = {
      day,
      comparisons,
      counts: await reconciliation.counts(),
      breaks: sums.reduce((sum, { breaks }) => sum + breaks, 0n),
      sums,
      examples: await reconciliation.examples(request.ofEachClass),
      milliseconds: Math.round(performance.now() - began),
    };
    return { report, ended: await end(reconciliation, report) };
  } finally {
    await reconciliation.close();
  }
};

const compare = async (
  reconciliation: Reconciliation,
  request: ReconciliationRequest,
): Promise<readonly ComparisonDone[]> => {
  const { day, now, statement, horizonMs, retentionMs, say = () => undefined } = request;
  const dayStart = Date.parse(`${day}T00:00:00Z`);
  const attached = await reconciliation.day();
  const done: ComparisonDone[] = [];
  const note = (comparison: ComparisonDone['comparison'], isDone: boolean, text = '') =>
    done.push({ comparison, done: isDone, note: text });

  say('counters');
  await reconciliation.compareCounters();
  note('counters', true);

  const between = await reconciliation.between();
  const flying = await stageFlying(reconciliation, request, between);
  if (attached === 'detached')
    note('reservations', false, `${day} was detached: its reservations are not here any more`);
  else {
    say('reservations');
    await reconciliation.compareReservations(new Date(now - horizonMs));
    note(
      'reservations',
      true,
      flying === 0 ? '' : `${flying} events are under way between settle and attempts: left out`,
    );
  }

  const stored = await reconciliation.stored();
  if (stored.size === 0) note('attempts', false, 'the workers have stored no feedback yet');
  else if (now - dayStart > retentionMs - DAY_MS)
    note('attempts', false, `feedback of ${day} may have left Kafka by its retention`);
  else {
    say('feedback');
    const unreadable = await stageDay(reconciliation, request, stored, dayStart);
    say('attempts');
    await reconciliation.compareAttempts();
    note('attempts', true, unreadable === 0 ? '' : `${unreadable} records cannot be read`);
  }

  if (statement === undefined) return done;
  say('statement');
  await overlapped(statement.lines, (lines) => reconciliation.stageStatement(lines));
  const complete = await reconciliation.dayIsStored();
  await reconciliation.compareStatement(statement.provider, complete);
  note(
    'statement',
    true,
    complete ? '' : `attempts of ${day} are not all stored yet: unknown ids are not reported`,
  );
  return done;
};

/** Stores a batch while the next one is read; never more than two are held. */
const overlapped = async <T>(
  batches: AsyncIterable<T>,
  store: (batch: T) => Promise<void>,
): Promise<void> => {
  let storing = Promise.resolve();
  for await (const batch of batches) {
    await storing;
    storing = store(batch);
    // Thrown where it is waited for.
    storing.catch(() => undefined);
  }
  await storing;
};

type Read = Pick<RangeRequest, 'from' | 'to' | 'partitions'>;

const feedbackOf = async function* (
  { settings, codecs, feedbackTopic, groupId }: ReconciliationRequest,
  range: Read,
): AsyncGenerator<{
  readonly entries: readonly FeedbackEntry[];
  readonly unreadable: number;
}> {
  const codec = codecs.project('DeliveryFeedback', feedbackTopic, FIELDS);
  for await (const batch of readRange({
    settings,
    topics: [feedbackTopic],
    ...(groupId !== undefined && { groupId }),
    ...range,
  })) {
    await codecs.prepare(batch.map(({ value }) => value));
    const entries: FeedbackEntry[] = [];
    for (const { value } of batch) {
      if (value === null) continue;
      try {
        entries.push(codec.decode(value));
      } catch {
        // The sinks bury it; here it is counted.
      }
    }
    yield { entries, unreadable: batch.length - entries.length };
  }
};

const endsOf = (topic: string, stored: ReadonlyMap<number, number>): Read => ({
  partitions: [...stored.keys()].map((partition) => ({ topic, partition })),
  to: {
    ends: new Map(
      [...stored].map(([partition, end]) => [partitionId({ topic, partition }), end] as const),
    ),
  },
});

/** What one sink has and the other has not. @returns how many events */
const stageFlying = async (
  reconciliation: Reconciliation,
  request: ReconciliationRequest,
  between: Awaited<ReturnType<Reconciliation['between']>>,
): Promise<number> => {
  if (between.length === 0) return 0;
  const topic = request.feedbackTopic;
  const range: Read = {
    ...endsOf(topic, new Map(between.map(({ partition, to }) => [partition, to]))),
    from: {
      offsets: new Map(
        between.map(({ partition, from }) => [partitionId({ topic, partition }), from]),
      ),
    },
  };
  let flying = 0;
  for await (const { entries } of feedbackOf(request, range)) {
    flying += entries.length;
    await reconciliation.stageInFlight(entries);
  }
  return flying;
};

/** Feedback of the day's messages. @returns how many records cannot be read */
const stageDay = async (
  reconciliation: Reconciliation,
  request: ReconciliationRequest,
  stored: ReadonlyMap<number, number>,
  dayStart: EpochMs,
): Promise<number> => {
  let unreadable = 0;
  const range = { ...endsOf(request.feedbackTopic, stored), from: { since: dayStart - AHEAD_MS } };
  await overlapped(feedbackOf(request, range), async (batch) => {
    unreadable += batch.unreadable;
    const ofDay = batch.entries.filter(
      ({ createdAt }) => createdAt >= dayStart && createdAt < dayStart + DAY_MS,
    );
    if (ofDay.length > 0) await reconciliation.stageFeedback(ofDay);
  });
  return unreadable;
};

export interface Applied {
  readonly money: Bookings;
  /** Derived from feedback again. */
  readonly attempts: number;
}

/** Books what is bookable: money once per break, attempts from their feedback. */
export const applyCorrections = async (
  reconciliation: Reconciliation,
  request: ReconciliationRequest,
  actor: string,
  note: string,
): Promise<Applied> => {
  const stored = await reconciliation.stored();
  const money = await reconciliation.book(actor, note);
  const stale = await reconciliation.staleAttempts(REBUILT_AT_MOST);
  if (stale.size > 0)
    await reconciliation.rebuildAttempts(
      await feedbackOfAttempts(request, stored, new Set(stale.keys())),
      stale,
    );
  return { money, attempts: stale.size };
};

/** All feedback of these attempts, up to where they were compared. */
const feedbackOfAttempts = async (
  request: ReconciliationRequest,
  stored: ReadonlyMap<number, number>,
  names: ReadonlySet<string>,
): Promise<readonly KafkaRecord<DeliveryFeedback>[]> => {
  const { settings, codecs, feedbackTopic, day } = request;
  const codec = codecs.of('DeliveryFeedback', feedbackTopic);
  const found: KafkaRecord<DeliveryFeedback>[] = [];
  const range = {
    ...endsOf(feedbackTopic, stored),
    from: { since: Date.parse(`${day}T00:00:00Z`) - AHEAD_MS },
  };
  for await (const batch of readRange({ settings, topics: [feedbackTopic], ...range })) {
    await codecs.prepare(batch.map(({ value }) => value));
    for (const record of batch) {
      const value = record.value === null ? null : decoded(codec, record);
      if (value === null) continue;
      const { tenantId, messageId, generation, attempt } = value;
      if (names.has(attemptName(tenantId, messageId, generation, attempt)))
        found.push({ ...record, size: record.value?.length ?? 0, value });
    }
  }
  return found;
};

const decoded = (
  codec: { readonly decode: (bytes: Buffer) => DeliveryFeedback },
  { value }: RawRecord,
): DeliveryFeedback | null => {
  try {
    return value === null ? null : codec.decode(value);
  } catch {
    return null;
  }
};
