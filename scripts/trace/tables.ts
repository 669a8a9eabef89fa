import { decimalOf } from '../../schemas/config.js';
import type { Database } from '../../sinks/postgres/pool.js';
import type { TraceEvent } from './events.js';

interface Named {
  readonly tenantId: string;
  readonly messageId: string;
}

interface ReservationRow {
  readonly generation: number;
  readonly state: string;
  readonly cash: bigint;
  readonly units: number;
  readonly posted_cash: bigint;
  readonly reversed_cash: bigint;
  readonly reserved_at: Date;
  readonly resolved_at: Date | null;
}
interface AttemptRow {
  readonly generation: number;
  readonly attempt: number;
  readonly channel: string;
  readonly provider: string;
  readonly provider_message_id: string | null;
  readonly state: string;
  readonly class: string | null;
  readonly occurred_at: Date;
}
interface DecisionRow {
  readonly attempt: number;
  readonly transition: string;
  readonly topic: string;
  readonly partition: number;
  readonly record_offset: bigint;
  readonly decided_at: Date;
}

/** What the tables hold of a message. */
export const tableEvents = async (
  database: Database,
  { tenantId, messageId }: Named,
): Promise<readonly TraceEvent[]> => {
  const values = [tenantId, messageId];
  const [reservations, attempts, decisions] = await Promise.all([
    database.query<ReservationRow>(
      {
        name: 'trace-reservations',
        text: `select generation, state::text, cash, units, posted_cash, reversed_cash, reserved_at, resolved_at
               from reservations where tenant_id = $1 and message_id = $2`,
      },
      values,
    ),
    database.query<AttemptRow>(
      {
        name: 'trace-attempts',
        text: `select generation, attempt, channel, provider, provider_message_id, state, class, occurred_at
               from attempts where tenant_id = $1 and message_id = $2`,
      },
      values,
    ),
    database.query<DecisionRow>(
      {
        name: 'trace-receipt-decisions',
        text: `select attempt, transition, topic, partition, record_offset, decided_at
               from receipt_decisions where tenant_id = $1 and message_id = $2`,
      },
      values,
    ),
  ]);
  return [
    ...reservations.flatMap((row): TraceEvent[] => [
      {
        at: row.reserved_at.getTime(),
        where: { table: 'reservations' },
        what: 'ledger',
        summary: `reserved ${decimalOf(row.cash)}, ${row.units} PV`,
        detail: row,
      },
      ...(row.resolved_at === null
        ? []
        : [
            {
              at: row.resolved_at.getTime(),
              where: { table: 'reservations' },
              what: 'ledger',
              summary: `${row.state}: ${decimalOf(row.posted_cash)} posted, ${decimalOf(row.reversed_cash)} of it paid back`,
              detail: row,
            },
          ]),
    ]),
    ...attempts.map((row) => ({
      at: row.occurred_at.getTime(),
      where: { table: 'attempts' },
      what: 'attempt',
      summary: `attempt ${row.attempt} by ${row.channel}/${row.provider} stands at ${row.state}${row.provider_message_id === null ? '' : `, the provider's id is ${row.provider_message_id}`}`,
      detail: row,
    })),
    ...decisions.map((row) => ({
      at: row.decided_at.getTime(),
      where: { table: 'receipt_decisions' },
      what: 'decision',
      summary: `${row.transition} of attempt ${row.attempt} decided by ${row.topic}/${row.partition}/${row.record_offset}`,
      detail: row,
    })),
  ];
};

/** Messages that the tables know under a provider's id, or a message id of whatever tenant. */
export const messagesBy = async (
  database: Database,
  by: { readonly providerMessageId: string } | { readonly messageId: string },
): Promise<readonly Named[]> => {
  const rows = await database.query<{ tenant_id: string; message_id: string }>(
    'providerMessageId' in by
      ? {
          name: 'trace-by-provider-id',
          text: `select distinct tenant_id, message_id::text from attempts where provider_message_id = $1`,
        }
      : {
          name: 'trace-by-message-id',
          text: `select distinct tenant_id, message_id::text from attempts where message_id::text = $1`,
        },
    ['providerMessageId' in by ? by.providerMessageId : by.messageId],
  );
  return rows.map((row) => ({ tenantId: row.tenant_id, messageId: row.message_id }));
};
