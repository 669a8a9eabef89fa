import type { Database } from '../../sinks/postgres/pool.js';
import { type LedgerClient, TENANT, isShared } from './client.js';
import type { Row } from './model.js';

interface StoredRow {
  readonly message_id: string;
  readonly line: string;
  readonly partition: number;
  readonly record_offset: bigint;
  readonly state: Row['state'];
  readonly renewable: boolean;
  readonly cash: bigint;
  readonly units: number;
  readonly posted_cash: bigint;
  readonly posted_units: number;
  readonly reversed_cash: bigint;
  readonly reversed_units: number;
}

const ROWS = {
  name: 'ledger-run-rows',
  text: `select message_id, business_line as line, partition, record_offset, state, renewable, cash, units,
           posted_cash, posted_units, reversed_cash, reversed_units
         from reservations r join accounts a using (account_id)
         where r.tenant_id = $1 and partition = $2`,
};

/** Accounts whose counters are not what journal and reservations add up to, or are negative. */
const ACCOUNTS = {
  name: 'ledger-run-accounts',
  text: `with journal as (
      select account_id, sum(cash) as cash, sum(units) as units from (
        select account_id, cash, units from transfers
        union all
        select from_account_id, -cash, -units from transfers where from_account_id is not null
      ) t group by account_id
    ), messages as (
      select account_id,
        sum(cash) filter (where state = 'pending') as cash_pending,
        sum(units) filter (where state = 'pending') as pv_pending,
        sum(posted_cash - reversed_cash) as cash_posted,
        sum(posted_units - reversed_units) as pv_posted
      from reservations group by account_id
    )
    select business_line as line
    from accounts join budgets b using (account_id)
    left join journal j using (account_id) left join messages m using (account_id)
    where tenant_id = $1 and (
      (cash_granted, pv_granted, b.cash_pending, b.pv_pending, b.cash_posted, b.pv_posted)
      is distinct from (
        coalesce(j.cash, 0), coalesce(j.units, 0), coalesce(m.cash_pending, 0), coalesce(m.pv_pending, 0),
        coalesce(m.cash_posted, 0), coalesce(m.pv_posted, 0))
      or cash_granted <> cash_available + b.cash_pending + b.cash_posted
      or pv_granted <> pv_available + b.pv_pending + b.pv_posted
      or least(cash_granted, cash_available, b.cash_pending, b.cash_posted,
        pv_granted, pv_available, b.pv_pending, b.pv_posted) < 0
    )`,
};

/** Quotas whose counters are not what reservations hold and used of them, or are beyond their stop. */
const QUOTAS = {
  name: 'ledger-run-quotas',
  text: `with messages as (
      select q.quota_id,
        coalesce(sum(h.cash) filter (where r.state = 'pending'), 0) as cash_held,
        coalesce(sum(r.units) filter (where r.state = 'pending'), 0) as units_held,
        coalesce(sum(r.posted_cash - r.reversed_cash) filter (where r.channel = q.channel), 0) as cash_used,
        coalesce(sum(r.posted_units - r.reversed_units) filter (where r.channel = q.channel), 0) as units_used
      from reservations r cross join unnest(r.quotas, r.quota_cash) as h (quota_id, cash)
      join quotas q using (quota_id)
      group by q.quota_id
    )
    select q.business_line as line, q.channel
    from quotas q join quota_counters c using (quota_id) left join messages m using (quota_id)
    where q.tenant_id = $1 and (
      (c.cash_held, c.units_held, c.cash_used, c.units_used) is distinct from (
        coalesce(m.cash_held, 0), coalesce(m.units_held, 0), coalesce(m.cash_used, 0), coalesce(m.units_used, 0))
      or c.cash_held + c.cash_used > q.cash_stop or c.units_held + c.units_used > q.units_stop
    )`,
};

const BOOKED = {
  name: 'ledger-run-journal',
  text: `select transfer_id from transfers join accounts using (account_id) where tenant_id = $1`,
};

export interface Judged {
  /** Accounts that do not add up, or have a negative counter. */
  readonly wrongAccounts: number;
  /** Quotas that do not add up, or were passed. */
  readonly wrongQuotas: number;
  /** Messages whose row is not what their client was told: lost, made up, or resolved otherwise. */
  readonly wrongMessages: number;
  /** Transfers that were acknowledged and are not in the journal, or the other way round. */
  readonly wrongTransfers: number;
  readonly rows: number;
  readonly examples: readonly string[];
}

const FEW = 5;

/** Compares what the clients were told with what the tables say. `granted` were booked before the run. */
export const judge = async (
  database: Database,
  clients: readonly LedgerClient[],
  granted: readonly string[],
): Promise<Judged> => {
  const examples: string[] = [];
  let rows = 0;
  let wrongMessages = 0;
  const wrong = (what: string): void => {
    wrongMessages += 1;
    if (examples.length < FEW) examples.push(what);
  };
  for (const client of clients) {
    const stored = await database.query<StoredRow>(ROWS, [TENANT, client.number]);
    rows += stored.length;
    const seen = new Set<string>();
    for (const row of stored) {
      seen.add(row.message_id);
      if (isShared(row.message_id)) {
        const won = client.sharedWins.get(row.message_id);
        if (won !== Number(row.record_offset) || row.state !== 'pending')
          wrong(
            `${row.message_id}: reserved at ${row.record_offset.toString()}, told ${String(won)}`,
          );
        continue;
      }
      const expected = client.rows.get(row.message_id);
      const found = asRow(row);
      if (JSON.stringify(found) !== JSON.stringify(expected && inOrder(expected)))
        wrong(`${row.message_id}: ${JSON.stringify(found)} instead of ${JSON.stringify(expected)}`);
    }
    for (const id of [...client.rows.keys(), ...client.sharedWins.keys()])
      if (!seen.has(id)) wrong(`${id}: acknowledged, and not there`);
  }
  const accounts = await database.query<{ line: string }>(ACCOUNTS, [TENANT]);
  examples.push(...accounts.slice(0, FEW).map(({ line }) => `account ${line} does not add up`));
  const quotas = await database.query<{ line: string; channel: string }>(QUOTAS, [TENANT]);
  examples.push(
    ...quotas.slice(0, FEW).map(({ line, channel }) => `quota ${line} ${channel} does not add up`),
  );
  const journal = await database.query<{ transfer_id: string }>(BOOKED, [TENANT]);
  const booked = new Set(journal.map(({ transfer_id: id }) => id));
  const told = new Set([...granted, ...clients.flatMap(({ transfers }) => [...transfers])]);
  const different = [
    ...[...booked].filter((id) => !told.has(id)),
    ...[...told].filter((id) => !booked.has(id)),
  ];
  examples.push(...different.slice(0, FEW).map((id) => `transfer ${id}: told and booked differ`));
  return {
    wrongAccounts: accounts.length,
    wrongQuotas: quotas.length,
    wrongMessages,
    wrongTransfers: different.length,
    rows,
    examples,
  };
};

const inOrder = (row: Omit<Row, 'channels'>): Omit<Row, 'channels'> => ({
  cash: row.cash,
  units: row.units,
  state: row.state,
  renewable: row.renewable,
  postedCash: row.postedCash,
  postedUnits: row.postedUnits,
  reversedCash: row.reversedCash,
  reversedUnits: row.reversedUnits,
  offset: row.offset,
  line: row.line,
});

const asRow = (row: StoredRow): Omit<Row, 'channels'> =>
  inOrder({
    cash: Number(row.cash),
    units: row.units,
    state: row.state,
    renewable: row.renewable,
    postedCash: Number(row.posted_cash),
    postedUnits: row.posted_units,
    reversedCash: Number(row.reversed_cash),
    reversedUnits: row.reversed_units,
    offset: Number(row.record_offset),
    line: row.line,
  });
