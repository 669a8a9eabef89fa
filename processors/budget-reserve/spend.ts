import { z } from 'zod';
import {
  type EpochMs,
  type MessageId,
  messageId,
  type Micros,
  type TenantId,
  tenantId,
} from '../../schemas/brand.js';
import { asError, PipelineError } from '../../schemas/error.js';
import type { Coordinates, Headers } from '../../schemas/record.js';

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
  /** The record that was paid for. */
  readonly at: Coordinates;
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

/** The header of `reserved` that tells settle of a spend: it does not read the record. */
export const SPEND_HEADER = 'millrace-spend';

const micros = z
  .string()
  .regex(/^\d{1,19}$/)
  .transform(BigInt);
const count = z.int().nonnegative();
const schema = z.object({
  spend: z.string(),
  tenantId: z.string().transform(tenantId),
  messageId: z.uuid().transform(messageId),
  generation: count,
  createdAt: z.number(),
  expiresAt: z.number(),
  cashMicros: micros,
  units: count,
  cashCapMicros: micros.nullable(),
  unitsCap: count.nullable(),
  at: z.tuple([z.string(), count, count]),
});

export const spendHeaders = (spend: Spend): Headers => {
  const { topic, partition, offset } = spend.at;
  const body: z.input<typeof schema> = {
    spend: leaseIdOf(spend),
    tenantId: spend.tenantId,
    messageId: spend.messageId,
    generation: spend.generation,
    createdAt: spend.createdAt,
    expiresAt: spend.expiresAt,
    cashMicros: spend.cashMicros.toString(),
    units: spend.units,
    cashCapMicros: spend.cashCapMicros?.toString() ?? null,
    unitsCap: spend.unitsCap,
    at: [topic, partition, offset],
  };
  return { [SPEND_HEADER]: Buffer.from(JSON.stringify(body)) };
};

/**
 * The spend that a record of `reserved` tells of; null: it was reserved directly.
 * @throws PipelineError undecodable: not of our writing
 */
export const spendIn = (headers: Headers): Spend | null => {
  const text = headers[SPEND_HEADER];
  if (text === undefined) return null;
  try {
    const { spend, at, ...known } = schema.parse(JSON.parse(text.toString()));
    const [topic, partition, offset] = at;
    return { ...spendIdOf(spend), ...known, at: { topic, partition, offset } };
  } catch (cause) {
    throw new PipelineError(
      'undecodable',
      `header ${SPEND_HEADER}: ${asError(cause).message}`,
      cause,
    );
  }
};
