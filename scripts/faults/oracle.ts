import { postgresLedger } from '../../sinks/postgres/ledger.js';
import { pendingReservations } from '../demo/pending.js';
import { readProviderLog } from '../demo/provider-log.js';
import type { FaultInstallation } from './installation.js';
import type { Witness } from './witness.js';

/** What contradicts the four promises (docs/effectively-once.md); all 0 and no problems: nothing does. */
export interface Verdict {
  readonly records: number;
  /** Acknowledged, and in no end state. */
  readonly lost: number;
  /** Events seen twice, or records in more than one end state. */
  readonly duplicated: number;
  readonly doubleDebited: number;
  /** Attempts that a carrier who cannot dedupe was asked for more than once. */
  readonly doubleSubmitted: number;
  readonly held: number;
  readonly problems: readonly string[];
}

/** Named in a report at most; counts are of all. */
const NAMED = 20;
const POLL_MS = 1_000;
const QUIET_MS = 3_000;
/** Nothing at all was written for so long: what has not ended will not. Longer than the 30 s of a second retry. */
const STUCK_MS = 60_000;

export interface Evidence {
  readonly installation: FaultInstallation;
  readonly witness: Witness;
  /** The carriers' own log. */
  readonly journal: string;
}

/** What was doubled so far, in words, while everything still moves: it will not become right again. */
export const doubledSoFar = ({ witness, journal }: Evidence): readonly string[] => [
  ...few(
    witness.accounting.contradictions().repeatedEvents.map((id) => `feedback ${id} was seen twice`),
  ),
  ...few(witness.debitedAgain.map((message) => `${message} was debited more than once`)),
  ...few(
    readProviderLog(journal).flatMap((entry) =>
      entry.kind === 'asked' && entry.nth > 1 && !entry.endpoint.startsWith('webhook/')
        ? [`${entry.reference}: the provider was asked ${entry.nth} times`]
        : [],
    ),
  ),
];

/** Waits until everything written has ended, and what must follow has followed; or until nothing moves any more. */
export const untilRest = async (
  evidence: Evidence,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<void> => {
  const { witness } = evidence;
  const end = Date.now() + deadlineMs;
  for (;;) {
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    const quietMs = witness.quietMs;
    if (quietMs > STUCK_MS || Date.now() > end) return;
    const { unseen, inFlight } = witness.accounting.endStates();
    if (unseen + inFlight > 0 || quietMs < QUIET_MS) continue;
    const { wrong } = await moneyOf(evidence);
    if (wrong.length === 0) return;
  }
};

/** Judges what came to rest. */
export const judge = async (evidence: Evidence): Promise<Verdict> => {
  const { witness, journal } = evidence;
  const { accounting, attempts } = witness;
  const states = accounting.endStates();
  const { surplus, repeatedEvents } = accounting.contradictions();
  const { wrong, overdrawn } = await moneyOf(evidence);
  // Webhooks may be asked again under their id: the receiver drops what it has seen.
  const log = readProviderLog(journal).filter(
    (entry) => entry.kind !== 'asked' || !entry.endpoint.startsWith('webhook/'),
  );
  const asked = log.flatMap((entry) => (entry.kind === 'asked' ? [entry] : []));
  const duplicates = {
    written: accounting.countOf('duplicate'),
    refused: states.refused.duplicate ?? 0,
  };
  const dead = { written: accounting.countOf('malformed'), found: states.deadLetters };
  const { debitedAgain } = witness;
  const problems = [
    ...(states.unseen > 0 ? [`${states.unseen} records ended nowhere`] : []),
    ...(states.inFlight > 0 ? [`${states.inFlight} records are still to be tried again`] : []),
    ...few(surplus),
    ...few(repeatedEvents.map((id) => `feedback ${id} was seen twice`)),
    ...few(debitedAgain.map((message) => `${message} was debited more than once`)),
    ...few(wrong),
    ...few(attempts.disagreements(log)),
    ...(duplicates.written === duplicates.refused
      ? []
      : [`${duplicates.written} duplicates were written, ${duplicates.refused} refused`]),
    ...(dead.written === dead.found
      ? []
      : [`${dead.written} malformed records were written, ${dead.found} are dead letters`]),
  ];
  return {
    records: states.produced,
    lost: states.unseen + states.inFlight,
    duplicated: surplus.length + repeatedEvents.length,
    doubleDebited: debitedAgain.length + overdrawn.length,
    doubleSubmitted: new Set(asked.filter(({ nth }) => nth > 1).map(({ reference }) => reference))
      .size,
    held: states.held,
    problems,
  };
};

interface Money {
  /** In words. */
  readonly wrong: readonly string[];
  readonly overdrawn: readonly string[];
}

/** granted = available + pending + posted; posted as events say; pending only what is held, or waits for a receipt. */
const moneyOf = async ({ installation, witness, journal }: Evidence): Promise<Money> => {
  const { bookings, accounting } = witness;
  const accounts = await postgresLedger(installation.database).balances();
  const pending = await pendingReservations(installation.database);
  const explained = pending.reduce((sum, one) => sum + one.cashMicros, 0n);
  const counted = accounts.reduce((sum, one) => sum + one.cash.pending, 0n);
  const unexplained = pending.filter(
    ({ message }) => accounting.feedback.get(message)?.state !== 'held',
  );
  const reported = unexplained.length === 0 ? new Set<string>() : reportedMessages(journal);
  return {
    wrong: [
      ...bookings.disagreements(accounts),
      ...(explained === counted
        ? []
        : [`${counted} micros are pending, reservations explain ${explained}`]),
      ...unexplained
        .filter(
          ({ message }) =>
            accounting.feedback.get(message)?.state !== 'accepted' || reported.has(message),
        )
        .map(
          ({ message }) =>
            `${message}: money is pending, and neither a hold nor a receipt explains it`,
        ),
    ],
    overdrawn: bookings.overdrawn(accounts),
  };
};

/** Messages of which a carrier has reported, and we have acknowledged that. */
const reportedMessages = (journal: string): ReadonlySet<string> =>
  new Set(
    readProviderLog(journal).flatMap((entry) =>
      entry.kind === 'receipt' && entry.acknowledged
        ? [entry.reference.split('|').slice(0, 2).join('|')]
        : [],
    ),
  );

const few = (all: readonly string[]): readonly string[] =>
  all.length <= NAMED ? all : [...all.slice(0, NAMED), `… and ${all.length - NAMED} more`];
