import { PipelineError } from '../../schemas/error.js';
import { textArray } from './array-literal.js';
import type { Database } from './pool.js';
import { ruleBroken } from './postgres-error.js';
import { sqlQuery } from './sql-files.js';

/** A recharge. Its id makes it once, however often it is asked for. */
export interface Grant {
  readonly transferId: string;
  readonly tenantId: string;
  readonly businessLine: string;
  /** ISO 4217. */
  readonly currency: string;
  /** Micros of the currency, at least 0. */
  readonly cashMicros: bigint;
  /** PV units, at least 0. */
  readonly units: bigint;
  readonly note?: string;
}

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

const GRANT = {
  name: 'grant-budget',
  text: 'select grant_budget($1, $2, $3, $4, $5, $6, $7) as granted',
};

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
    /**
     * Recharges an account, which is made where there is none. False: this transfer was booked before.
     * @throws PipelineError row_refused, naming account, budget and rule, where the id was used with other content, the
     *   currency is another, or a sum leaves its range
     */
    async grant(grant: Grant): Promise<boolean> {
      const { transferId, tenantId, businessLine, currency, cashMicros, units, note = '' } = grant;
      const values = [transferId, tenantId, businessLine, currency, cashMicros, units, note];
      try {
        const [row] = await database.query<{ granted: boolean }>(GRANT, values);
        return row?.granted === true;
      } catch (thrown) {
        const rule = ruleBroken(thrown);
        if (rule === null) throw thrown;
        throw new PipelineError(
          'row_refused',
          `account ${tenantId}/${businessLine} is not granted ${cashMicros} micros ${currency} and ${units} units of PV (transfer ${transferId}): ${rule}. Nothing was booked for it`,
          thrown,
        );
      }
    },

    /** Which of these transfers are booked. */
    async booked(transferIds: readonly string[]): Promise<ReadonlySet<string>> {
      const values = [textArray(transferIds)];
      const rows = await database.query<{ transfer_id: string }>(
        sqlQuery('transfers-by-id'),
        values,
      );
      return new Set(rows.map(({ transfer_id: id }) => id));
    },

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
