import type { Database } from './pool.js';
import { sqlQuery } from './sql-files.js';
import type { AccountName } from './transfers.js';

/** What is pending of an account, by its reservations. */
export interface AccountPending extends AccountName {
  readonly currency: string;
  /** Counter less the sum of reservations, micros; anything but 0 is a defect. */
  readonly cashDrift: bigint;
  /** The same in PV. */
  readonly pvDrift: bigint;
  /** Age of the oldest pending reservation; null: none is pending. */
  readonly oldestSeconds: number | null;
}

/** From reserve to resolution. */
export interface SettleLag {
  readonly resolved: bigint;
  /** null: nothing was resolved. */
  readonly medianSeconds: number | null;
  readonly p99Seconds: number | null;
}

interface PendingRow {
  readonly tenant_id: string;
  readonly business_line: string;
  readonly currency: string;
  readonly cash_drift: bigint;
  readonly pv_drift: bigint;
  readonly oldest_seconds: number | null;
}

/** Counters against reservations, of every account; reads all attached days. @throws PipelineError postgres_* */
export const accountsPending = async (database: Database): Promise<readonly AccountPending[]> =>
  (await database.query<PendingRow>(sqlQuery('pending-of-accounts'))).map((row) => ({
    tenantId: row.tenant_id,
    businessLine: row.business_line,
    currency: row.currency,
    cashDrift: row.cash_drift,
    pvDrift: row.pv_drift,
    oldestSeconds: row.oldest_seconds,
  }));

/** Of what was reserved since then. @throws PipelineError postgres_* */
export const settleLag = async (database: Database, since: Date): Promise<SettleLag> => {
  const [row] = await database.query<{
    resolved: bigint;
    median: number | null;
    p99: number | null;
  }>(sqlQuery('settle-lag'), [since]);
  return {
    resolved: row?.resolved ?? 0n,
    medianSeconds: row?.median ?? null,
    p99Seconds: row?.p99 ?? null,
  };
};
