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

/** What leases hold of an account beyond what settle has booked as spent. */
export interface AccountLeased extends AccountName {
  readonly currency: string;
  readonly cashMicros: bigint;
  readonly units: bigint;
}

export interface LeaseHealth {
  readonly accounts: readonly AccountLeased[];
  /** Leases that a lost state left behind, with something left. */
  readonly setAside: number;
  /** Spends whose message holds another reservation still; postings whose spend was never read. Both are rare. */
  readonly waitingSpends: number;
  readonly waitingPostings: number;
}

/** @param waitingMs what waits for less is on its way @throws PipelineError postgres_* */
export const leaseHealth = async (database: Database, waitingMs: number): Promise<LeaseHealth> => {
  const rows = await database.query<{
    tenant_id: string;
    business_line: string;
    currency: string;
    cash: bigint;
    units: bigint;
    set_aside: number;
    spends: number;
    postings: number;
  }>(sqlQuery('lease-health'), [waitingMs / 1_000]);
  return {
    accounts: rows.map((row) => ({
      tenantId: row.tenant_id,
      businessLine: row.business_line,
      currency: row.currency,
      cashMicros: row.cash,
      units: row.units,
    })),
    setAside: rows.reduce((sum, row) => sum + row.set_aside, 0),
    waitingSpends: rows[0]?.spends ?? 0,
    waitingPostings: rows[0]?.postings ?? 0,
  };
};
