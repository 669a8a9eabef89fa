import type { EpochMs, MessageId, TenantId } from '../../schemas/brand.js';
import type { Coordinates } from '../../schemas/record.js';
import type { Partition } from '../processor.js';

/** Where a message goes on from. Before the ledger or after it: dedupe is never asked again, and route goes with money. */
export type PassStage = 'budget-reserve' | 'send';

/** A message that wants to come back in. */
export interface PassRequest {
  readonly tenantId: TenantId;
  readonly messageId: MessageId;
  readonly generation: number;
  readonly stage: PassStage;
  /** The attempt that it would make at send; 0 before. */
  readonly attempt: number;
  /** The request's createdAt: its UTC day is where the ledger keeps it. */
  readonly createdAt: EpochMs;
  /** The record on `again.*`. */
  readonly at: Coordinates;
  readonly origin: Coordinates;
  readonly releaseNo: number;
  readonly runId: string;
  readonly startedAt: EpochMs;
}

export type PassAnswer =
  /** It may go on: this record brings it first, or is read again. */
  | { readonly kind: 'pass' }
  /** A release whose message another parked record brought back before: the ledger says what it is a duplicate of. */
  | { readonly kind: 'twin' }
  /**
   * Nothing is left to do in this generation: another record has passed here (`passed`), the ledger has reserved it,
   * so that it is queued, under way, held or ended (`reserved`), or attempts were made (`attempted`).
   */
  | { readonly kind: 'passed' | 'reserved' | 'attempted' }
  /** The ledger has detached its day: whether it was done cannot be known any more. */
  | { readonly kind: 'detached' }
  /** At send, without money reserved in this generation. */
  | { readonly kind: 'unpaid' }
  /** The message index has not passed the run's start. */
  | { readonly kind: 'early' };

/** Lets each message back in once per generation, stage and release. */
export interface Passes {
  /**
   * From now on nothing is written for records of these partitions but by who called this last (rule 18).
   * @throws PipelineError postgres_unavailable (retry) | postgres_refused (stop)
   */
  readonly takeOver: (partitions: readonly Partition[]) => Promise<void>;
  /**
   * One call a batch, answers in order; an answer `early` may take half a second.
   * @throws PipelineError postgres_unavailable (retry) | postgres_refused (stop)
   */
  readonly admit: (batch: readonly PassRequest[]) => Promise<readonly PassAnswer[]>;
}
