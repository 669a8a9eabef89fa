import type { Database } from './pool.js';
import { sqlQuery } from './sql-files.js';

interface Amounts {
  readonly granted: bigint;
  /** Booked by settle: spends that it has not read yet are not among them. */
  readonly spent: bigint;
  readonly returned: bigint;
}

/** A lease that has something left, as operators see it. Cash in micros of the currency. */
export interface OpenLease {
  readonly lease: number;
  readonly tenantId: string;
  readonly businessLine: string;
  readonly currency: string;
  readonly topic: string;
  readonly partition: number;
  readonly grantedAt: Date;
  /** Its partition has lost its state, and has another lease since; null: it is in use. */
  readonly setAsideAt: Date | null;
  readonly cash: Amounts;
  readonly pv: Amounts;
}

interface Row {
  readonly lease_id: number;
  readonly tenant_id: string;
  readonly business_line: string;
  readonly currency: string;
  readonly topic: string;
  readonly partition: number;
  readonly granted_at: Date;
  readonly set_aside_at: Date | null;
  readonly cash_granted: bigint;
  readonly cash_spent: bigint;
  readonly cash_returned: bigint;
  readonly units_granted: bigint;
  readonly units_spent: bigint;
  readonly units_returned: bigint;
}

/** What became of giving a lease back. */
export interface GivenBack {
  readonly kind: 'given_back' | 'unknown' | 'in_use' | 'unsettled' | 'nothing';
  readonly cashMicros: bigint;
  readonly units: bigint;
}

/** @throws PipelineError postgres_* */
export const openLeases = async (database: Database): Promise<readonly OpenLease[]> => {
  const rows = await database.query<Row>(sqlQuery('leases-of-accounts'));
  return rows.map((row) => ({
    lease: row.lease_id,
    tenantId: row.tenant_id,
    businessLine: row.business_line,
    currency: row.currency,
    topic: row.topic,
    partition: row.partition,
    grantedAt: row.granted_at,
    setAsideAt: row.set_aside_at,
    cash: { granted: row.cash_granted, spent: row.cash_spent, returned: row.cash_returned },
    pv: { granted: row.units_granted, spent: row.units_spent, returned: row.units_returned },
  }));
};

/**
 * Gives back what a lease that was set aside has left.
 * @param settle the consumer name that postgresSettlements has
 * @throws PipelineError postgres_*
 */
export const giveBackLease = async (
  database: Database,
  lease: number,
  settle: string,
): Promise<GivenBack> => {
  const [row] = await database.query<{
    outcome: GivenBack['kind'];
    cash: bigint | null;
    units: bigint | null;
  }>({ name: 'give-back-lease', text: 'select * from give_back_lease($1, $2)' }, [lease, settle]);
  if (row === undefined) throw new Error('give_back_lease answers one row');
  return { kind: row.outcome, cashMicros: row.cash ?? 0n, units: row.units ?? 0n };
};

/** What a lease has spent as the ledger has it. Cash in micros of the currency. */
export interface SpentLease {
  readonly lease: number;
  readonly tenantId: string;
  readonly businessLine: string;
  readonly currency: string;
  readonly cash: bigint;
  readonly units: bigint;
  readonly openedAt: Date;
}

/**
 * Every lease, and how far in which partitions its spends are booked: next offsets by topic/partition, as partitionId has it.
 * @param settle the consumer name that postgresSettlements has
 * @throws PipelineError postgres_*
 */
export const spentLeases = async (
  database: Database,
  settle: string,
): Promise<{
  readonly leases: readonly SpentLease[];
  readonly booked: ReadonlyMap<string, number>;
}> => {
  const rows = await database.query<{
    lease_id: number;
    tenant_id: string;
    business_line: string;
    currency: string;
    cash_spent: bigint;
    units_spent: bigint;
    opened_at: Date;
    offsets: Readonly<Record<string, number>>;
  }>(sqlQuery('leases-spent'), [settle]);
  return {
    leases: rows.map((row) => ({
      lease: row.lease_id,
      tenantId: row.tenant_id,
      businessLine: row.business_line,
      currency: row.currency,
      cash: row.cash_spent,
      units: row.units_spent,
      openedAt: row.opened_at,
    })),
    booked: new Map(Object.entries(rows[0]?.offsets ?? {})),
  };
};
