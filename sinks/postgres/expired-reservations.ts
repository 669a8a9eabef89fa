import type { EpochMs, MessageId } from '../../schemas/brand.js';
import { numberArray, plainArray, textArray } from './array-literal.js';
import type { Database } from './pool.js';
import { sqlQuery } from './sql-files.js';
import type { AccountName } from './transfers.js';

/** A message that holds money and can be sent no more. */
export interface ExpiredReservation {
  /** Of the request's createdAt, UTC. */
  readonly day: string;
  readonly tenantId: string;
  readonly messageId: MessageId;
  readonly generation: number;
}

/** What an account got back. */
export interface GivenBack extends AccountName {
  readonly currency: string;
  readonly messages: bigint;
  readonly cashMicros: bigint;
  readonly units: bigint;
}

interface FoundRow {
  readonly day: string;
  readonly tenant_id: string;
  readonly message_id: MessageId;
  readonly generation: number;
}

interface GivenBackRow {
  readonly tenant_id: string;
  readonly business_line: string;
  readonly currency: string;
  readonly messages: bigint;
  readonly cash: bigint;
  readonly units: bigint;
}

const EXPIRE = {
  name: 'expire-reservations',
  text: 'select * from expire_reservations($1, $2, $3, $4, $5)',
};

/** Pending reservations whose messages expired, by the ledger and the attempts table. */
export const postgresExpiredReservations = (database: Database) => ({
  /** Those that expired before `time` and of which no attempt is stored. @throws PipelineError postgres_* */
  async before(time: EpochMs, atMost: number): Promise<readonly ExpiredReservation[]> {
    const rows = await database.query<FoundRow>(sqlQuery('expired-reservations'), [
      new Date(time),
      atMost,
    ]);
    return rows.map(({ day, tenant_id: tenantId, message_id: messageId, generation }) => ({
      day,
      tenantId,
      messageId,
      generation,
    }));
  },

  /**
   * Voids those of them that are pending still, with no attempt; anything else is passed over. Of each account what it
   * got back. @throws PipelineError postgres_*
   */
  async expire(
    reservations: readonly ExpiredReservation[],
    time: EpochMs,
  ): Promise<readonly GivenBack[]> {
    const rows = await database.query<GivenBackRow>(EXPIRE, [
      new Date(time),
      plainArray(reservations.map(({ day }) => day)),
      textArray(reservations.map(({ tenantId }) => tenantId)),
      plainArray(reservations.map(({ messageId }) => messageId)),
      numberArray(reservations.map(({ generation }) => generation)),
    ]);
    return rows.map((row) => ({
      tenantId: row.tenant_id,
      businessLine: row.business_line,
      currency: row.currency,
      messages: row.messages,
      cashMicros: row.cash,
      units: row.units,
    }));
  },
});
