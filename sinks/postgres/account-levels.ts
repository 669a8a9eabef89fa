import type { AccountLevel } from '../../schemas/generated/records.js';
import { tenantId } from '../../schemas/brand.js';
import { numberArray, plainArray, textArray } from './array-literal.js';
import { type CountersRow, cashOf, pvOf } from './counters.js';
import type { Database } from './pool.js';
import { shareOf } from './share.js';
import { sqlQuery } from './sql-files.js';

/** An account's state that the topic `accounts` does not have yet. */
export interface ChangedAccount {
  readonly record: AccountLevel;
  readonly accountId: number;
  /** As budget_level(): 3 above 20 %, 2 at most 20 %, 1 at most 10 %, 0 empty. */
  readonly level: number;
  /** Postgres' text, whose microseconds a Date would lose; null: never. */
  readonly rechargedAt: string | null;
  /** How often the account was told before. */
  readonly version: bigint;
}

interface Row extends CountersRow {
  readonly account_id: number;
  readonly tenant_id: string;
  readonly business_line: string;
  readonly currency: string;
  readonly open: boolean;
  readonly recalling: boolean;
  /** Available, and what leases have not spent. */
  readonly cash_left: bigint;
  readonly pv_left: bigint;
  readonly cash_recharged_to: bigint | null;
  readonly pv_recharged_to: bigint | null;
  readonly recharged_text: string | null;
  readonly level: number;
  readonly version: bigint;
  readonly at: Date;
}

/** Counters move without a change of level: readers learn them at least so often. */
const RENEW_AFTER_S = 3_600;
/** Accounts that are told at once, at most. */
export const ACCOUNTS_AT_ONCE = 1_000;

/** A budget that was never granted does not count; where both were not, nothing is left. */
const smallest = (...shares: readonly (number | null)[]): number => {
  const counted = shares.filter((share) => share !== null);
  return counted.length === 0 ? 0 : Math.min(...counted);
};

const recordOf = (row: Row): AccountLevel => ({
  tenantId: tenantId(row.tenant_id),
  businessLine: row.business_line,
  currency: row.currency,
  cash: cashOf(row),
  pv: pvOf(row),
  share: smallest(
    shareOf(row.cash_left, row.cash_recharged_to),
    shareOf(row.pv_left, row.pv_recharged_to),
  ),
  open: row.open,
  recalling: row.recalling,
  at: row.at.getTime(),
});

/** What the topic `accounts` is to be told. All throw PipelineError postgres_*. */
export const postgresAccountLevels = (database: Database) => ({
  /** At most ACCOUNTS_AT_ONCE: where it is as many, ask again after these are published. */
  async changed(): Promise<readonly ChangedAccount[]> {
    const rows = await database.query<Row>(sqlQuery('account-levels-changed'), [
      RENEW_AFTER_S,
      ACCOUNTS_AT_ONCE,
    ]);
    return rows.map((row) => ({
      record: recordOf(row),
      accountId: row.account_id,
      level: row.level,
      rechargedAt: row.recharged_text,
      version: row.version,
    }));
  },

  /** Once the broker has them. */
  async published(accounts: readonly ChangedAccount[]): Promise<void> {
    await database.query(sqlQuery('account-levels-published'), [
      numberArray(accounts.map(({ accountId }) => accountId)),
      numberArray(accounts.map(({ level }) => level)),
      plainArray(accounts.map(({ record }) => String(record.open))),
      plainArray(accounts.map(({ record }) => String(record.recalling))),
      textArray(accounts.map(({ rechargedAt }) => rechargedAt)),
      numberArray(accounts.map(({ version }) => version)),
    ]);
  },
});

export type AccountLevels = ReturnType<typeof postgresAccountLevels>;
