import type { Gauge } from 'prom-client';
import type { EpochMs } from '../schemas/brand.js';
import type { Chore } from './runtime/chores.js';
import type { Logger } from './runtime/log.js';

interface Use {
  readonly limit: bigint;
  readonly stop: bigint;
  readonly used: bigint;
  readonly held: bigint;
  readonly past: boolean;
}

/** A quota in one period, as sinks/postgres/quotas.ts has it. */
interface WatchedQuota {
  readonly tenantId: string;
  /** null: all lines of the tenant together. */
  readonly businessLine: string | null;
  readonly channel: string;
  readonly period: 'day' | 'month';
  readonly starts: string;
  readonly cash: Use | null;
  readonly pv: Use | null;
}

const EVERY_MS = 15_000;

/** Tells of quotas: a gauge of how far each is used, and a warning, once a period, of one that is past its plain limit. */
export const quotaWatch = (
  quotas: { readonly at: (time: EpochMs) => Promise<readonly WatchedQuota[]> },
  gauge: Gauge<'tenant' | 'line' | 'channel' | 'period' | 'budget'>,
  log: Pick<Logger, 'warn'>,
  now: () => EpochMs = Date.now,
): Chore => {
  let told = new Set<string>();
  return {
    name: 'quotas',
    everyMs: EVERY_MS,
    async run() {
      const found = (await quotas.at(now())).flatMap(({ cash, pv, ...quota }) =>
        [
          { quota, budget: 'cash', use: cash },
          { quota, budget: 'pv', use: pv },
        ].flatMap((one) => (one.use === null ? [] : [{ ...one, use: one.use }])),
      );
      // What was lifted since is no longer told.
      gauge.reset();
      const current = new Set<string>();
      for (const { quota, budget, use } of found) {
        const { tenantId, businessLine, channel, period, starts } = quota;
        gauge
          .labels(tenantId, businessLine ?? '', channel, period, budget)
          .set(ratio(use.used + use.held, use.limit));
        const name = [tenantId, businessLine, channel, period, starts, budget].join('\0');
        if (told.has(name)) current.add(name);
        else if (use.past) {
          current.add(name);
          const [limit, stop, used, held] = [use.limit, use.stop, use.used, use.held].map(String);
          const whose = { tenantId, businessLine, channel, period, starts, budget };
          log.warn({ ...whose, limit, stop, used, held }, 'a quota is past its limit');
        }
      }
      told = current;
    },
  };
};

/** Of a limit of nothing anything is beyond all bounds. */
const ratio = (use: bigint, limit: bigint): number =>
  limit === 0n ? (use === 0n ? 0 : Number.POSITIVE_INFINITY) : Number(use) / Number(limit);
