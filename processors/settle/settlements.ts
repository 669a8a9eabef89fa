import type { EpochMs, MessageId, Micros, TenantId } from '../../schemas/brand.js';
import type { SpendBatch, SpendId } from '../budget-reserve/spend.js';

/** One resolution of one reservation. */
export interface Posting {
  readonly kind: 'post' | 'void' | 'reverse';
  readonly tenantId: TenantId;
  readonly messageId: MessageId;
  readonly generation: number;
  /** The request's: names the reservation's day. */
  readonly createdAt: EpochMs;
  /** post: actual cost, reverse: what is paid back; both are bounded by what is there. void: everything, whatever this says. */
  readonly cashMicros: Micros;
  readonly units: number;
  /** void only: the refusal was retryable, so the message may be reserved anew under other coordinates. */
  readonly renewable: boolean;
  /** post only: the channel that was used. Its quotas are used, those of the other candidates are released. */
  readonly channel?: string;
  /** The spend of a lease that it resolves; absent: the message was reserved directly. */
  readonly spend?: SpendId;
}

/** The postings of one partition's slice. Without postings it only moves the offset. */
export interface PostingSlice {
  readonly topic: string;
  readonly partition: number;
  /** The stored next offset that this slice begins from. */
  readonly start: number;
  /** The next offset once applied. */
  readonly next: number;
  readonly postings: readonly Posting[];
  /** Of leases: booked as their messages' reservations, before the postings. */
  readonly spends?: readonly SpendBatch[];
  /** All that this partition held before is among what was applied, with these; null: not known. */
  readonly passed?: EpochMs | null;
}

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** A partition whose offsets are asked for. */
export interface OffsetQuestion extends TopicPartition {
  /** Stored where there is no row yet: the partition's first offset. */
  readonly beginning: number;
}

/** What postings came to. All but `applied` and `early` changed nothing. */
export const POSTING_OUTCOMES = [
  'applied',
  /** Resolved before: the first resolution stands. */
  'already_posted',
  'already_voided',
  'already_reversed',
  /** reverse of what was never posted. */
  'not_posted',
  /** Given back by its expiry before. */
  'expired',
  /** No such reservation. */
  'unmatched',
  /** Of a spend that is not booked yet: applied with it. */
  'early',
] as const;
export type PostingOutcome = (typeof POSTING_OUTCOMES)[number];

/** What spends came to. */
export const SPEND_OUTCOMES = [
  'spent',
  /** Its message holds another reservation still, whose refusal is not settled yet. */
  'waiting',
  /** Its message was paid for before; the money went back to its account. */
  'given_back',
] as const;
export type SpendOutcome = (typeof SPEND_OUTCOMES)[number];

/** lost: another owner moved these partitions' offsets. Then nothing at all was applied: drop them, try the rest. */
export type SliceAnswer =
  | { readonly kind: 'lost'; readonly lost: readonly TopicPartition[] }
  | { readonly kind: 'applied' };

export type SettleAnswer =
  | Extract<SliceAnswer, { kind: 'lost' }>
  | {
      readonly kind: 'applied';
      readonly outcomes: Readonly<Record<PostingOutcome | SpendOutcome, number>>;
      /** Posts above their reservation, booked at the reservation (part of `applied`): a defect upstream. */
      readonly clamped: number;
    };

/** The ledger's second phase. Effect and offsets are one Postgres transaction. */
export interface Settlements {
  /** Next offsets in the order asked; missing rows are made with `beginning`. */
  readonly loadOffsets: (partitions: readonly OffsetQuestion[]) => Promise<readonly number[]>;
  /** @throws PipelineError postgres_unavailable (retry) | postgres_refused (stop) */
  readonly apply: (slices: readonly PostingSlice[]) => Promise<SettleAnswer>;
}
