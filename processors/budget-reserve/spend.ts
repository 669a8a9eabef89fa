import type { EpochMs, MessageId, Micros, TenantId } from '../../schemas/brand.js';
import { PipelineError } from '../../schemas/error.js';
import type { Partition } from '../processor.js';

/** One message's share of a lease, by number from 1: never used again, whatever the message. */
export interface SpendId {
  /** The lease's number in the ledger. */
  readonly lease: number;
  readonly number: number;
}

/** What a message took of a lease, as settle books it. */
export interface Spend extends SpendId {
  readonly tenantId: TenantId;
  readonly messageId: MessageId;
  readonly generation: number;
  /** The request's: names the reservation's day. */
  readonly createdAt: EpochMs;
  readonly expiresAt: EpochMs;
  readonly cashMicros: Micros;
  readonly units: number;
  readonly cashCapMicros: Micros | null;
  readonly unitsCap: number | null;
  /** Of the record that was paid for, on its partition. */
  readonly offset: number;
}

/** `leaseId` of records: the lease, and which spend of it. */
export const leaseIdOf = ({ lease, number }: SpendId): string =>
  `${String(lease)}.${String(number)}`;

const LEASE_ID = /^(\d{1,10})\.(\d{1,16})$/;

/** @throws PipelineError undecodable where it is none of ours */
export const spendIdOf = (leaseId: string): SpendId => {
  const [, lease, number] = LEASE_ID.exec(leaseId) ?? [];
  if (lease === undefined || number === undefined)
    throw new PipelineError('undecodable', `leaseId ${leaseId} is no lease and number`);
  return { lease: Number(lease), number: Number(number) };
};

/** What one transaction of a partition spent of its leases: the entry that settle books, and its proof. */
export interface SpendBatch {
  /** Where the records lie that were paid for. */
  readonly source: Partition;
  readonly spends: readonly Spend[];
}
