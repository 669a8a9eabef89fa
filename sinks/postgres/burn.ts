import type { Database } from './pool.js';
import { sqlQuery } from './sql-files.js';
import type { AccountName } from './transfers.js';

const HOUR_MS = 3_600_000n;
/** Beyond it a date says no more than "not in sight", and JavaScript's ends. */
const HORIZON_MS = 100n * 365n * 24n * HOUR_MS;

/** In micros of the account's currency, or in PV. */
export interface Burn {
  readonly spent: bigint;
  /** spent ÷ (until - since), rounded down. */
  readonly perHour: bigint;
  readonly available: bigint;
  /** until + available ÷ rate; null: nothing was spent, or it lasts more than a hundred years. */
  readonly emptyAt: Date | null;
}

export interface AccountBurn extends AccountName {
  readonly currency: string;
  readonly since: Date;
  readonly until: Date;
  readonly cash: Burn;
  readonly pv: Burn;
}

interface Row {
  readonly tenant_id: string;
  readonly business_line: string;
  readonly currency: string;
  readonly cash_available: bigint;
  readonly pv_available: bigint;
  readonly since: Date;
  readonly until: Date;
  readonly cash_spent: bigint;
  readonly units_spent: bigint;
}

const burnOf = (spent: bigint, available: bigint, { since, until }: Row): Burn => {
  const spanMs = BigInt(Math.max(until.getTime() - since.getTime(), 1));
  const lastsMs = spent > 0n ? (available * spanMs) / spent : HORIZON_MS;
  return {
    spent,
    perHour: (spent * HOUR_MS) / spanMs,
    available,
    emptyAt: lastsMs < HORIZON_MS ? new Date(until.getTime() + Number(lastsMs)) : null,
  };
};

/**
 * How fast each account is spent, and until when it lasts at that rate: of the messages that reserved since then, what
 * they cost, and what those may cost that are pending. By Postgres' clock.
 * @throws PipelineError postgres_*
 */
export const accountBurns = async (
  database: Database,
  since: Date,
): Promise<readonly AccountBurn[]> => {
  const rows = await database.query<Row>(sqlQuery('burn'), [since]);
  return rows.map((row) => ({
    tenantId: row.tenant_id,
    businessLine: row.business_line,
    currency: row.currency,
    since: row.since,
    until: row.until,
    cash: burnOf(row.cash_spent, row.cash_available, row),
    pv: burnOf(row.units_spent, row.pv_available, row),
  }));
};
