import type { Database } from '../sinks/postgres/pool.js';
import { BREAK_CLASSES, keptReconciliation } from '../sinks/postgres/reconciliation.js';
import type { BreakClass } from '../sinks/postgres/reconciliation.js';
import type { ReconciliationReport, ReconciliationRequest } from './reconciliation.js';
import { dayBefore, reconcile } from './reconciliation.js';
import type { Chore } from './runtime/chores.js';
import type { Logger } from './runtime/log.js';

/** Looks often, works once a day. */
const EVERY_MS = 600_000;
/** Of each class, in reconciliation_breaks. */
const KEPT_OF_EACH_CLASS = 1_000;

export interface ReconciliationChoreOptions {
  readonly database: Database;
  readonly request: Omit<ReconciliationRequest, 'day' | 'now' | 'ofEachClass' | 'statement'>;
  readonly log: Pick<Logger, 'warn' | 'info'>;
  /** For the metric: all classes, those without a break too. */
  readonly found: (breaks: Readonly<Record<BreakClass, number>>) => void;
  readonly now: () => number;
}

/**
 * Reconciles yesterday (UTC), once: what it found is kept in Postgres, so that a restart does not repeat it. Books
 * nothing. Two at once keep one result.
 */
export const reconciliationChore = ({
  database,
  request,
  log,
  found,
  now,
}: ReconciliationChoreOptions): Chore => ({
  name: 'reconcile',
  everyMs: EVERY_MS,
  run: async (signal) => {
    const day = dayBefore(now());
    const kept = await keptReconciliation(database, day);
    if (kept !== null) {
      found(byClass(kept.sums));
      return;
    }
    if (signal.aborted) return;
    const { report } = await reconcile(
      { ...request, day, now: now(), ofEachClass: 0 },
      (reconciliation, result) =>
        reconciliation.keep(JSON.stringify(storable(result)), KEPT_OF_EACH_CLASS),
    );
    found(byClass(report.sums));
    const told = { day, breaks: Number(report.breaks), ms: report.milliseconds };
    if (report.breaks > 0n)
      log.warn(
        told,
        'reconciliation found breaks: millrace reconcile shows them and books what can be booked',
      );
    else log.info(told, 'reconciliation found no breaks');
  },
});

/** Text where it may be beyond 2^53. */
const storable = ({ comparisons, counts, sums, milliseconds }: ReconciliationReport) => ({
  comparisons,
  counts: Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, Number(count)])),
  sums: sums.map((sum) => ({
    ...sum,
    breaks: Number(sum.breaks),
    bookable: Number(sum.bookable),
    cashMicros: sum.cashMicros.toString(),
    units: sum.units.toString(),
  })),
  milliseconds,
});

const byClass = (
  sums: readonly { readonly class: BreakClass; readonly breaks: bigint | number }[],
): Readonly<Record<BreakClass, number>> => {
  const breaks = Object.fromEntries(BREAK_CLASSES.map((name) => [name, 0])) as Record<
    BreakClass,
    number
  >;
  for (const sum of sums) breaks[sum.class] += Number(sum.breaks);
  return breaks;
};
