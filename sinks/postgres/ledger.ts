import type { Database } from './pool.js';
import { sqlQuery } from './sql-files.js';

/** granted = available + pending + posted, always. */
export interface Counters {
  readonly granted: bigint;
  readonly available: bigint;
  readonly pending: bigint;
  readonly posted: bigint;
}

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

interface BalanceRow {
  readonly tenant_id: string;
  readonly business_line: string;
  readonly currency: string;
  readonly open: boolean;
  readonly cash_granted: bigint;
  readonly cash_available: bigint;
  readonly cash_pending: bigint;
  readonly cash_posted: bigint;
  readonly pv_granted: bigint;
  readonly pv_available: bigint;
  readonly pv_pending: bigint;
  readonly pv_posted: bigint;
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
  cash: {
    granted: row.cash_granted,
    available: row.cash_available,
    pending: row.cash_pending,
    posted: row.cash_posted,
  },
  pv: {
    granted: row.pv_granted,
    available: row.pv_available,
    pending: row.pv_pending,
    posted: row.pv_posted,
  },
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
