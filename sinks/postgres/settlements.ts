import type { EpochMs } from '../../schemas/brand.js';
import { numberArray, plainArray, textArray } from './array-literal.js';
import { dayOf, reservationDays } from './days.js';
import { caughtUp, loadOffsets, partitionsAt, sliceParameters } from './offsets.js';
import type { Database } from './pool.js';

/** As processors/settle/settlements.ts has it, with what each field means. */
interface Posting {
  readonly kind: 'post' | 'void' | 'reverse';
  readonly tenantId: string;
  readonly messageId: string;
  readonly generation: number;
  readonly createdAt: EpochMs;
  readonly cashMicros: bigint;
  readonly units: number;
  readonly renewable: boolean;
  readonly channel?: string;
  readonly spend?: { readonly lease: number; readonly number: number };
}

interface Spend {
  readonly lease: number;
  readonly number: number;
  readonly tenantId: string;
  readonly messageId: string;
  readonly generation: number;
  readonly createdAt: EpochMs;
  readonly expiresAt: EpochMs;
  readonly cashMicros: bigint;
  readonly units: number;
  readonly cashCapMicros: bigint | null;
  readonly unitsCap: number | null;
  readonly offset: number;
}

interface SpendBatch {
  readonly source: Partition;
  readonly spends: readonly Spend[];
}

interface Partition {
  readonly topic: string;
  readonly partition: number;
}

interface Slice extends Partition {
  readonly start: number;
  readonly next: number;
  readonly postings: readonly Posting[];
  readonly spends?: readonly SpendBatch[];
  readonly passed?: EpochMs | null;
}

interface Outcomes {
  applied: number;
  already_posted: number;
  already_voided: number;
  already_reversed: number;
  /** Given back by its expiry before. */
  expired: number;
  not_posted: number;
  unmatched: number;
  early: number;
  spent: number;
  waiting: number;
  given_back: number;
}

type Answer =
  | { readonly kind: 'lost'; readonly lost: readonly Partition[] }
  | { readonly kind: 'applied'; readonly outcomes: Readonly<Outcomes>; readonly clamped: number };

interface Row {
  readonly kind: keyof Outcomes | 'clamped' | 'lost';
  readonly amount: bigint;
}

const SETTLE = {
  name: 'settle',
  text: `select * from settle(${Array.from({ length: 32 }, (_, n) => `$${String(n + 1)}`).join(', ')})`,
};

/** Which of its message's postings each one is, from 1: a post and its reverse may come in one batch. */
const rounds = (postings: readonly Posting[]): number[] => {
  const seen = new Map<string, number>();
  return postings.map(({ tenantId, messageId, generation }) => {
    const name = `${tenantId}\0${messageId}\0${generation}`;
    const round = (seen.get(name) ?? 0) + 1;
    seen.set(name, round);
    return round;
  });
};

const parameters = (slices: readonly Slice[]): readonly string[] => {
  const postings = slices.flatMap((slice) => slice.postings);
  const batches = slices.flatMap((slice) => slice.spends ?? []);
  const spends = batches.flatMap((batch) => batch.spends);
  return [
    ...sliceParameters(slices),
    textArray(
      slices.map(({ passed = null }) => (passed === null ? null : new Date(passed).toISOString())),
    ),
    plainArray(postings.map(({ kind }) => kind)),
    plainArray(postings.map(({ createdAt }) => dayOf(createdAt))),
    textArray(postings.map(({ tenantId }) => tenantId)),
    plainArray(postings.map(({ messageId }) => messageId)),
    numberArray(postings.map(({ generation }) => generation)),
    numberArray(postings.map(({ cashMicros }) => cashMicros)),
    numberArray(postings.map(({ units }) => units)),
    plainArray(postings.map(({ renewable }) => String(renewable))),
    numberArray(rounds(postings)),
    textArray(postings.map(({ channel }) => channel ?? null)),
    numberArray(postings.map(({ spend }) => spend?.lease ?? null)),
    numberArray(postings.map(({ spend }) => spend?.number ?? null)),
    numberArray(spends.map(({ lease }) => lease)),
    numberArray(spends.map(({ number }) => number)),
    plainArray(spends.map(({ createdAt }) => dayOf(createdAt))),
    textArray(spends.map(({ tenantId }) => tenantId)),
    plainArray(spends.map(({ messageId }) => messageId)),
    numberArray(spends.map(({ generation }) => generation)),
    numberArray(spends.map(({ cashMicros }) => cashMicros)),
    numberArray(spends.map(({ units }) => units)),
    numberArray(spends.map(({ cashCapMicros }) => cashCapMicros)),
    numberArray(spends.map(({ unitsCap }) => unitsCap)),
    textArray(batches.flatMap(({ source, spends: own }) => own.map(() => source.topic))),
    numberArray(batches.flatMap(({ source, spends: own }) => own.map(() => source.partition))),
    numberArray(spends.map(({ offset }) => offset)),
    numberArray(spends.map(({ expiresAt }) => expiresAt)),
  ];
};

/**
 * The ledger's second phase: one call of settle() a batch, which stores the consumer's offsets with the effect.
 * @param consumer names the reader whose offsets these are, e.g. its group
 */
export const postgresSettlements = (database: Database, consumer: string) => {
  const days = reservationDays(database);
  return {
    loadOffsets: (partitions: readonly (Partition & { readonly beginning: number })[]) =>
      loadOffsets(database, consumer, partitions),

    /** The reader has stored all that these partitions held at `at` (our clock). */
    caughtUp: (partitions: readonly Partition[], at: EpochMs) =>
      caughtUp(database, consumer, partitions, at),

    async apply(slices: readonly Slice[]): Promise<Answer> {
      // The first message of a day may be paid for by a lease.
      await days.closed(
        new Set(
          slices.flatMap(({ spends: batches = [] }) =>
            batches.flatMap(({ spends }) => spends.map(({ createdAt }) => dayOf(createdAt))),
          ),
        ),
      );
      const rows = await database.query<Row>(SETTLE, [consumer, ...parameters(slices)]);
      const outcomes: Outcomes = {
        applied: 0,
        already_posted: 0,
        already_voided: 0,
        already_reversed: 0,
        expired: 0,
        not_posted: 0,
        unmatched: 0,
        early: 0,
        spent: 0,
        waiting: 0,
        given_back: 0,
      };
      const lost: number[] = [];
      let clamped = 0;
      for (const { kind, amount } of rows)
        if (kind === 'lost') lost.push(Number(amount));
        else if (kind === 'clamped') clamped += Number(amount);
        else outcomes[kind] += Number(amount);
      return lost.length > 0
        ? { kind: 'lost', lost: partitionsAt(slices, lost) }
        : { kind: 'applied', outcomes, clamped };
    },
  };
};
