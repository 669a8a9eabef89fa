import type { EpochMs } from '../../schemas/brand.js';
import { microsOf } from '../../schemas/config.js';
import type { QuotaConfig, TenantConfig } from '../../schemas/config.js';
import { numberArray, plainArray, textArray } from './array-literal.js';
import { dayOf } from './days.js';
import type { Database } from './pool.js';
import { sqlQuery } from './sql-files.js';

/** In micros of the quota's currency, or in PV. */
export interface QuotaUse {
  /** Past it an alert is raised. */
  readonly limit: bigint;
  /** limit × elasticFactor, rounded down: nothing is reserved beyond it. */
  readonly stop: bigint;
  /** Posted, less paid back. */
  readonly used: bigint;
  /** Of messages that are under way: the most they may cost on this channel. */
  readonly held: bigint;
  /** used + held > limit. */
  readonly past: boolean;
}

/** A quota in one period. */
export interface Quota {
  readonly tenantId: string;
  /** null: all lines of the tenant together. */
  readonly businessLine: string | null;
  readonly channel: string;
  readonly period: 'day' | 'month';
  /** First day of the period, UTC: YYYY-MM-DD. */
  readonly starts: string;
  /** Of the cash limit; null: none is set. */
  readonly currency: string | null;
  readonly elasticFactor: number;
  readonly cash: QuotaUse | null;
  readonly pv: QuotaUse | null;
  /** When used + held went past a limit, as it then was, for the first time in this period; null: never. */
  readonly passedAt: Date | null;
}

interface Row {
  readonly tenant_id: string;
  readonly business_line: string | null;
  readonly channel: string;
  readonly period: Quota['period'];
  readonly starts: string;
  readonly currency: string | null;
  readonly elastic_factor: number;
  readonly cash_limit: bigint | null;
  readonly cash_stop: bigint | null;
  readonly units_limit: bigint | null;
  readonly units_stop: bigint | null;
  readonly cash_held: bigint;
  readonly cash_used: bigint;
  readonly units_held: bigint;
  readonly units_used: bigint;
  readonly passed_at: Date | null;
}

const SET = {
  name: 'set-quotas',
  text: 'select set_quotas($1, $2, $3, $4, $5, $6, $7, $8) as changed',
};

const useOf = (
  limit: bigint | null,
  stop: bigint | null,
  used: bigint,
  held: bigint,
): QuotaUse | null =>
  limit === null || stop === null ? null : { limit, stop, used, held, past: used + held > limit };

const quotaOf = (row: Row): Quota => ({
  tenantId: row.tenant_id,
  businessLine: row.business_line,
  channel: row.channel,
  period: row.period,
  starts: row.starts,
  currency: row.currency,
  elasticFactor: row.elastic_factor,
  cash: useOf(row.cash_limit, row.cash_stop, row.cash_used, row.cash_held),
  pv: useOf(row.units_limit, row.units_stop, row.units_used, row.units_held),
  passedAt: row.passed_at,
});

interface Configured {
  readonly tenant: string;
  /** Empty: all of the tenant's. */
  readonly line: string;
  /** A tenant's lines have one where it limits cash: config apply sees to it. */
  readonly currency: string;
  readonly quota: QuotaConfig;
}

const configured = (tenants: readonly TenantConfig[]): readonly Configured[] =>
  tenants.flatMap(({ id: tenant, quotas = [], businessLines }) => [
    ...quotas.map((quota) => ({
      tenant,
      line: '',
      currency: businessLines[0]?.currency ?? '',
      quota,
    })),
    ...businessLines.flatMap(({ name: line, currency, quotas: own = [] }) =>
      own.map((quota) => ({ tenant, line, currency, quota })),
    ),
  ]);

/** Limits per tenant or account, channel and period; reserve() and settle() keep the counters. All throw PipelineError postgres_*. */
export const postgresQuotas = (database: Database) => ({
  /**
   * Makes the configuration's quotas the ones there are: others are lifted. What is held and used stays as it is.
   * @returns how many quotas were set, changed or lifted
   */
  async set(tenants: readonly TenantConfig[]): Promise<number> {
    const all = configured(tenants);
    const [row] = await database.query<{ changed: bigint }>(SET, [
      textArray(all.map(({ tenant }) => tenant)),
      textArray(all.map(({ line }) => line)),
      textArray(all.map(({ quota }) => quota.channel)),
      plainArray(all.map(({ quota }) => quota.period)),
      textArray(all.map(({ quota, currency }) => (quota.cash === undefined ? null : currency))),
      numberArray(all.map(({ quota }) => (quota.cash === undefined ? null : microsOf(quota.cash)))),
      numberArray(all.map(({ quota }) => quota.units ?? null)),
      numberArray(all.map(({ quota }) => quota.elasticFactor)),
    ]);
    return Number(row?.changed ?? 0n);
  },

  /** Each quota in the period that holds this time (UTC). */
  async at(time: EpochMs): Promise<readonly Quota[]> {
    return (await database.query<Row>(sqlQuery('quotas'), [dayOf(time)])).map(quotaOf);
  },
});

export type PostgresQuotas = ReturnType<typeof postgresQuotas>;
