import type { EpochMs, MessageId, Micros, TenantId } from '../../schemas/brand.js';
import type {
  AttemptReference,
  DeliveryState,
  FailureClass,
  Lane,
} from '../../schemas/generated/records.js';
import type { Coordinates } from '../../schemas/record.js';
import type { Partition } from '../processor.js';

/** A report on some attempt, to be decided once. */
export interface ReceiptQuestion {
  /** The record in `receipts` that brings it. */
  readonly at: Coordinates;
  /** Which attempt, where the report says so; else it is looked up by provider and providerMessageId. */
  readonly attempt: AttemptReference | null;
  readonly provider: string;
  readonly providerMessageId: string | null;
  /** The state it reports: each is decided once per attempt. */
  readonly transition: DeliveryState;
}

/**
 * An attempt as it stood in the attempts table when this transition was decided. Asked again by the same coordinates
 * it is the same, whatever happened since, except `reservation`.
 */
export interface AttemptRow {
  readonly tenantId: TenantId;
  readonly messageId: MessageId;
  readonly generation: number;
  readonly attempt: number;
  /** The Kafka key of its feedback: later feedback keeps it, so that it stays in order. */
  readonly key: string;
  readonly lane: Lane;
  readonly channel: string;
  readonly provider: string;
  readonly providerMessageId: string | null;
  readonly businessLine: string;
  readonly campaignId: string | null;
  readonly templateId: string;
  readonly recipientHash: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdAt: EpochMs;
  readonly attemptedAt: EpochMs;
  /** Of its newest feedback. */
  readonly occurredAt: EpochMs;
  /** Before this transition. */
  readonly state: DeliveryState;
  readonly class: FailureClass | null;
  readonly terminal: boolean;
  /** Of the message's newest feedback before this transition; this transition's is one more. */
  readonly sequence: number;
  /** Posted and not paid back for this attempt, per its feedback: what a reverse may pay back. */
  readonly postedCashMicros: Micros;
  readonly postedUnits: number;
  /** ISO 4217; empty where no settlement named one yet. */
  readonly currency: string;
  readonly leaseId: string | null;
  /** The message's reservation row; null in leased mode or where its day was dropped. */
  readonly reservation: {
    readonly cashMicros: Micros;
    readonly units: number;
    readonly currency: string;
    readonly state: 'pending' | 'posted' | 'voided' | 'reversed';
  } | null;
}

export type ReceiptAnswer =
  /**
   * No such attempt is stored. passed: the attempts sink has stored all feedback up to this time on every
   * partition (milliseconds since the epoch; null: it has not begun). Later than the report: it is really unknown.
   */
  | { readonly kind: 'unknown_attempt'; readonly passed: EpochMs | null }
  /** Another transition of the attempt was decided and its feedback is not stored yet: this one must begin from there. */
  | { readonly kind: 'earlier_pending' }
  /** This record decides the transition, now (first) or on an earlier read of it (again). */
  | { readonly kind: 'first' | 'again'; readonly attempt: AttemptRow }
  /** Nothing new: another record decided it, or the attempt was in that state before an earlier transition. */
  | { readonly kind: 'already' };

/** Decides each (attempt, transition) once, by the record that brings it first; `unknown` may end what was `unknown` before. */
export interface ReceiptLog {
  /**
   * From now on nothing is written for records of these partitions but by who called this last (rule 18).
   * @throws PipelineError postgres_unavailable (retry) | postgres_refused (stop)
   */
  readonly takeOver: (partitions: readonly Partition[]) => Promise<void>;
  /**
   * One call a batch, answers in order.
   * @throws PipelineError postgres_unavailable (retry) | postgres_refused (stop)
   */
  readonly decide: (batch: readonly ReceiptQuestion[]) => Promise<readonly ReceiptAnswer[]>;
}
