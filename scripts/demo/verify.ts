import type { StoredWindow } from '../../sinks/influx/read-windows.js';
import { readWindows } from '../../sinks/influx/read-windows.js';
import type { Counters } from '../../sinks/postgres/counters.js';
import type { AccountBalance } from '../../sinks/postgres/ledger.js';
import { postgresLedger } from '../../sinks/postgres/ledger.js';
import type { Outcome } from './report.js';
import { pendingReservations } from './pending.js';
import { readProviderLog } from './provider-log.js';
import type { Stage } from './stage.js';

/** How long sinks may need after the last record. */
const LEDGER_MS = 60_000;
const WINDOWS_MS = 90_000;
const POLL_MS = 250;

const untilTrue = async (deadlineMs: number, holds: () => Promise<boolean>): Promise<void> => {
  const deadline = Date.now() + deadlineMs;
  while (!(await holds()) && Date.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
};

const total = (
  accounts: readonly AccountBalance[],
  of: (one: AccountBalance) => Counters,
): Counters =>
  accounts.reduce(
    (sum, account) => ({
      granted: sum.granted + of(account).granted,
      available: sum.available + of(account).available,
      pending: sum.pending + of(account).pending,
      posted: sum.posted + of(account).posted,
    }),
    { granted: 0n, available: 0n, pending: 0n, posted: 0n },
  );

const sumOf = (pending: readonly { readonly cashMicros: bigint }[]): bigint =>
  pending.reduce((all, one) => all + one.cashMicros, 0n);

/**
 * Judges a run that has come to rest: sets of ids from the independent reader, the ledger against the events, the
 * provider's own log, the windows as InfluxDB has them.
 */
export const verify = async (
  stage: Stage,
  run: { readonly startedAt: number; readonly messages: number; readonly badScope: string },
): Promise<Outcome> => {
  const { learners, database, identity, observer, simulator } = stage;
  const { accounting, bookings, attempts, breaker, windowTotals } = learners;
  const ledger = postgresLedger(database);

  let accounts = await ledger.balances();
  await untilTrue(LEDGER_MS, async () => {
    accounts = await ledger.balances();
    // Leases go back within seconds of the last message.
    const held = sumOf(await pendingReservations(database));
    return (
      bookings.disagreements(accounts).length === 0 &&
      held === total(accounts, (account) => account.cash).pending
    );
  });
  let windows: readonly StoredWindow[] = [];
  await untilTrue(WINDOWS_MS, async () => {
    // Windows begin before their first record.
    windows = await readWindows(identity.environment.influx, run.startedAt - 60_000);
    return windowTotals.disagreements(windows).length === 0;
  });
  await observer.finish();
  accounts = await ledger.balances();

  const states = accounting.endStates();
  const { surplus, repeatedEvents } = accounting.contradictions();
  const pending = await pendingReservations(database);
  const cash = total(accounts, (account) => account.cash);
  const pv = total(accounts, (account) => account.pv);
  const unaccounted = states.unseen + surplus.length + (run.messages - states.produced);
  const unexplained = pending.filter(
    ({ message }) => accounting.feedback.get(message)?.state !== 'held',
  );
  const pendingCash = sumOf(pending);
  const problems = [
    ...(states.unseen > 0 ? [`${states.unseen} messages ended nowhere`] : []),
    ...(states.inFlight > 0 ? [`${states.inFlight} messages are still under way`] : []),
    ...surplus,
    ...repeatedEvents.map((id) => `feedback ${id} was seen twice`),
    ...bookings.disagreements(accounts),
    ...(pendingCash === cash.pending
      ? []
      : [`${cash.pending} micros pending, reservations explain ${pendingCash}`]),
    ...unexplained.map(({ message }) => `${message}: money pending, and it is not held`),
    ...attempts.disagreements(readProviderLog(simulator.journal)),
    ...windowTotals.disagreements(windows),
    ...unlike('duplicates', accounting.countOf('duplicate'), states.refused.duplicate ?? 0),
    ...unlike('malformed', accounting.countOf('malformed'), states.deadLetters),
    ...unlike(
      'unaffordable',
      accounting.countOf('unaffordable'),
      (states.refused.budget_cash ?? 0) + (states.refused.budget_pv ?? 0),
    ),
    ...(states.produced === run.messages
      ? []
      : [`${run.messages} were to be produced, ${states.produced} were acknowledged`]),
  ];
  return {
    states,
    cash,
    pv,
    windows,
    changes: breaker.changes,
    transitions: breaker.transitions.length,
    seconds: (Date.now() - run.startedAt) / 1_000,
    unaccounted,
    problems,
    remarks: remarksOf(stage, run.badScope),
  };
};

/** The traffic was planned: what it holds of each kind must come out as such. */
const unlike = (what: string, planned: number, found: number): readonly string[] =>
  planned === found ? [] : [`${planned} ${what} were written, ${found} were recognised`];

const remarksOf = ({ learners }: Stage, badScope: string): readonly string[] => {
  const { accounting, breaker } = learners;
  const conflicts = accounting.countOf('conflict');
  const caught = accounting.endStates().refused.idempotency_conflict ?? 0;
  return [
    ...(breaker.hasRecovered(badScope)
      ? []
      : [
          breaker.hasTripped(badScope)
            ? `the breaker of ${badScope} tripped and had not recovered when traffic ended`
            : `the breaker of ${badScope} did not trip: too little traffic in each window? (--messages)`,
        ]),
    // Known by Redis alone, which may be too slow for a moment on a loaded machine (degraded: deduped by id only).
    ...(caught < conflicts
      ? [`${caught} of ${conflicts} contradictions of an idempotency key were caught`]
      : []),
  ];
};
