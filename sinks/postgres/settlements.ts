import type { EpochMs } from '../../schemas/brand.js';
import { numberArray, plainArray, textArray } from './array-literal.js';
import { dayOf } from './days.js';
import { loadOffsets, partitionsAt, sliceParameters } from './offsets.js';
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
}

interface Partition {
  readonly topic: string;
  readonly partition: number;
}

interface Slice extends Partition {
  readonly start: number;
  readonly next: number;
  readonly postings: readonly Posting[];
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
  text: 'select * from settle($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)',
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
  return [
    ...sliceParameters(slices),
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
  ];
};

/**
 * The ledger's second phase: one call of settle() a batch, which stores the consumer's offsets with the effect.
 * @param consumer names the reader whose offsets these are, e.g. its group
 */
export const postgresSettlements = (database: Database, consumer: string) => ({
  loadOffsets: (partitions: readonly (Partition & { readonly beginning: number })[]) =>
    loadOffsets(database, consumer, partitions),

  async apply(slices: readonly Slice[]): Promise<Answer> {
    const rows = await database.query<Row>(SETTLE, [consumer, ...parameters(slices)]);
    const outcomes: Outcomes = {
      applied: 0,
      already_posted: 0,
      already_voided: 0,
      already_reversed: 0,
      expired: 0,
      not_posted: 0,
      unmatched: 0,
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
});
