import { type Counters, type CountersRow, cashOf, pvOf } from './counters.js';
import type { Database } from './pool.js';
import { sqlQuery } from './sql-files.js';

/** Sums over accounts, per currency: micros of different currencies must not be added. */
export interface LedgerTotals {
  readonly cash: ReadonlyMap<string, Counters>;
  readonly pv: Counters;
}

export interface AccountBalance {
  readonly tenantId: string;
  readonly businessLine: string;
  readonly currency: string;
  readonly open: boolean;
  readonly cash: Counters;
  readonly pv: Counters;
}

interface BalanceRow extends CountersRow {
  readonly tenant_id: string;
  readonly business_line: string;
  readonly currency: string;
  readonly open: boolean;
}

const NOTHING: Counters = { granted: 0n, available: 0n, pending: 0n, posted: 0n };

const plus = (a: Counters, b: Counters): Counters => ({
  granted: a.granted + b.granted,
  available: a.available + b.available,
  pending: a.pending + b.pending,
  posted: a.posted + b.posted,
});

const balanceOf = (row: BalanceRow): AccountBalance => ({
  tenantId: row.tenant_id,
  businessLine: row.business_line,
  currency: row.currency,
  open: row.open,
  cash: cashOf(row),
  pv: pvOf(row),
});

/** The ledger as operators see it. */
export const postgresLedger = (database: Database) => {
  const balances = async (): Promise<readonly AccountBalance[]> =>
    (await database.query<BalanceRow>(sqlQuery('account-balances'))).map(balanceOf);
  return {
    /** Every account, by tenant and business line. */
    balances,

    /** Sums over all accounts. */
    async totals(): Promise<LedgerTotals> {
      const cash = new Map<string, Counters>();
      let pv = NOTHING;
      for (const account of await balances()) {
        cash.set(account.currency, plus(cash.get(account.currency) ?? NOTHING, account.cash));
        pv = plus(pv, account.pv);
      }
      return { cash, pv };
    },
  };
};
