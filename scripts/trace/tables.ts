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
  readonly business_line: string;
  readonly currency: string;
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
        text: `select r.generation, r.state::text, r.cash, r.units, r.posted_cash, r.reversed_cash,
                 r.reserved_at, r.resolved_at, a.business_line, a.currency
               from reservations r join accounts a using (account_id)
               where r.tenant_id = $1 and r.message_id = $2`,
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
        summary: `reserved ${decimalOf(row.cash)} ${row.currency}, ${row.units} PV of ${row.business_line}${row.generation === 0 ? '' : `, generation ${row.generation}`}`,
        detail: row,
      },
      ...(row.resolved_at === null
        ? []
        : [
            {
              at: row.resolved_at.getTime(),
              where: { table: 'reservations' },
              what: 'ledger',
              summary: `${row.state}: ${decimalOf(row.posted_cash)} ${row.currency} posted, ${decimalOf(row.cash - row.posted_cash)} given back, ${decimalOf(row.reversed_cash)} paid back later`,
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

/** What providers call a message's attempts. */
export const providerReferences = (
  database: Database,
  { tenantId, messageId }: Named,
): Promise<readonly { readonly provider: string; readonly providerMessageId: string }[]> =>
  database.query(
    {
      name: 'trace-provider-references',
      text: `select provider, provider_message_id as "providerMessageId" from attempts
             where tenant_id = $1 and message_id = $2 and provider_message_id is not null`,
    },
    [tenantId, messageId],
  );

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
          text: `select tenant_id, message_id::text from attempts where message_id = $1::uuid
                   union select tenant_id, message_id::text from reservations where message_id = $1::uuid`,
        },
    ['providerMessageId' in by ? by.providerMessageId : by.messageId],
  );
  return rows.map((row) => ({ tenantId: row.tenant_id, messageId: row.message_id }));
};
