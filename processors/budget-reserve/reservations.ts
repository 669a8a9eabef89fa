import type { EpochMs, MessageId, Micros, TenantId } from '../../schemas/brand.js';
import type { Coordinates } from '../../schemas/record.js';
import type { OwnReservations } from '../dedupe/own-reservations.js';
import type { Partition } from '../processor.js';

/** A channel that a message may take, and the most that it costs there. */
export interface CandidateCost {
  readonly channel: string;
  /** Micros of the request's currency, at least 0. */
  readonly cashMicros: Micros;
}

/** The most one message can cost, asked of its account. */
export interface ReservationRequest {
  readonly tenantId: TenantId;
  readonly businessLine: string;
  readonly messageId: MessageId;
  readonly generation: number;
  /** The request's: its UTC day is part of the reservation's primary key, so that old days can be dropped. */
  readonly createdAt: EpochMs;
  /** Not to be sent after it: what is pending then, and was never tried, is given back. Absent: never by itself. */
  readonly expiresAt?: EpochMs;
  /** The record that asks: the same coordinates get the stored decision again, others are duplicates. */
  readonly at: Coordinates;
  /** Worst case, in micros of the currency, at least 0. */
  readonly cashMicros: Micros;
  /** Worst case in PV units, at least 0. */
  readonly units: number;
  /** The candidates' currency; another than the account's is refused. */
  readonly currency: string;
  /** The request's own caps: with the account they are the fingerprint that must not differ under one id. */
  readonly unitsCap: number | null;
  readonly cashCapMicros: Micros | null;
  /** In order of preference: each is asked of the quotas of its channel. None named: no quota is asked. */
  readonly candidates?: readonly CandidateCost[];
}

/** What the ledger decided, now or when it was asked first. */
export type ReservationDecision =
  /** Reserved by these coordinates, now or before; the amounts are the stored ones. */
  | {
      readonly kind: 'reserved';
      readonly cashMicros: Micros;
      readonly units: number;
      /** Channels that had quota, and on which it is held; absent: all that were asked. */
      readonly channels?: readonly string[];
    }
  /** Another record reserved the same message and generation. */
  | { readonly kind: 'duplicate' | 'idempotency_conflict'; readonly firstAt: Coordinates }
  | {
      readonly kind:
        | 'unknown_account'
        | 'account_closed'
        | 'currency'
        | 'budget_cash'
        | 'budget_pv'
        /** No candidate's channel has quota left in the period of createdAt's day. */
        | 'quota'
        /** createdAt's day is no longer attached. */
        | 'too_old';
    }
  /** Too little, but leases hold some, and were told to return it: to be asked again. */
  | { readonly kind: 'recalling' };

/**
 * The ledger in direct mode: Postgres, one call a batch, a row a message. A message is known by tenant, messageId,
 * generation and createdAt's UTC day: one that is sent again with a createdAt of another day is a duplicate to dedupe,
 * not to the ledger.
 */
export interface Reservations extends OwnReservations {
  /**
   * From now on nothing is reserved for records of these partitions but by who called this last (rule 18): who was
   * their owner before may still run, or its request be under way. Called before the first record of an assignment, and
   * again after a call whose outcome is not known.
   * @throws PipelineError postgres_unavailable (retry) | postgres_refused (stop)
   */
  readonly takeOver: (partitions: readonly Partition[]) => Promise<void>;
  /**
   * Decisions in order; within the batch earlier ones come first and one that does not fit does not stop later,
   * smaller ones. Nothing is lent: the sum of what is reserved never exceeds what is available.
   * @throws PipelineError postgres_unavailable | ownership_lost: another has taken these partitions over (retry) |
   * postgres_refused (stop)
   */
  readonly reserve: (
    batch: readonly ReservationRequest[],
  ) => Promise<readonly ReservationDecision[]>;
}
