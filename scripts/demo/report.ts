import pc from 'picocolors';
import { decimalOf } from '../../schemas/config.js';
import type { BreakerLevel } from '../../schemas/generated/records.js';
import type { Counters } from '../../sinks/postgres/counters.js';
import type { StoredWindow } from '../../sinks/influx/read-windows.js';
import { table } from '../cli/table.js';
import type { EndStates } from './accounting.js';
import { sumOf } from './snapshot.js';

/** All that the demo found out, and how it judges it. */
export interface Outcome {
  readonly states: EndStates;
  readonly cash: Counters;
  readonly pv: Counters;
  readonly windows: readonly StoredWindow[];
  readonly changes: readonly BreakerLevel[];
  readonly transitions: number;
  readonly seconds: number;
  /** Records that are in no end state, or in more than one. */
  readonly unaccounted: number;
  /** What is wrong, in words; empty: nothing. */
  readonly problems: readonly string[];
  /** What did not happen that should be seen, without being wrong. */
  readonly remarks: readonly string[];
}

/** The last line's object: these keys, numbers all, money in micros. */
export const resultOf = ({
  states,
  cash,
  windows,
  transitions,
  seconds,
  unaccounted,
}: Outcome) => ({
  produced: states.produced,
  accepted: states.accepted,
  delivered: states.delivered,
  failed: states.failed,
  refused: states.refused,
  duplicates: states.refused.duplicate ?? 0,
  deadLetters: states.deadLetters,
  parked: states.parked,
  held: states.held,
  inFlight: states.inFlight,
  unaccounted,
  ledger: {
    granted: Number(cash.granted),
    available: Number(cash.available),
    pending: Number(cash.pending),
    posted: Number(cash.posted),
  },
  windows: windows.length,
  breakerTransitions: transitions,
  seconds: Math.round(seconds * 10) / 10,
});

const time = (ms: number): string => new Date(ms).toISOString().slice(11, 19);
const SHOWN_PROBLEMS = 10;

/** The closing table, for people. */
export const closingTable = (outcome: Outcome): string => {
  const { states, cash, pv } = outcome;
  const ends: (readonly [string, number])[] = [
    ['accepted', states.accepted],
    ['delivered', states.delivered],
    ['failed', states.failed],
    ...Object.entries(states.refused)
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([reason, count]) => [`refused: ${reason}`, count] as const),
    ['dead letters', states.deadLetters],
    ['parked', states.parked],
    ['held', states.held],
    ['in flight', states.inFlight],
    ['unaccounted', outcome.unaccounted],
  ];
  const sum = ends.reduce((total, [, count]) => total + count, 0);
  return [
    table(['end state', 'messages'], [...ends, ['sum', sum], ['produced', states.produced]]),
    '',
    table(
      ['ledger', 'granted', 'available', 'pending', 'posted'],
      [
        ['cash CNY', ...[cash.granted, cash.available, cash.pending, cash.posted].map(decimalOf)],
        ['PV units', ...[pv.granted, pv.available, pv.pending, pv.posted].map(String)],
      ],
    ),
    '',
    table(
      ['windows in InfluxDB', 'windows', 'attempts', 'messages', 'accepted', 'delivered', 'errors'],
      channelsOf(outcome.windows),
    ),
    '',
    table(
      ['breaker (UTC)', 'scope', 'level', 'rate', 'window', 'cause'],
      outcome.changes.map((change) => [
        time(change.at),
        change.scope,
        `${change.fromLevel} -> ${change.level}`,
        `${change.fromRateFactor} -> ${change.rateFactor}`,
        change.windowStart === null ? '' : time(change.windowStart),
        change.cause,
      ]),
    ),
    '',
    ...outcome.problems.slice(0, SHOWN_PROBLEMS).map((problem) => pc.red(`wrong: ${problem}`)),
    ...(outcome.problems.length > SHOWN_PROBLEMS
      ? [pc.red(`... and ${outcome.problems.length - SHOWN_PROBLEMS} more`)]
      : []),
    ...outcome.remarks.map((remark) => pc.yellow(`note: ${remark}`)),
    outcome.problems.length === 0
      ? pc.green(
          `Each of ${states.produced} messages is in exactly one end state (${sumOf(states.refused)} refused); the ledger balances; the provider was asked once per attempt.`,
        )
      : pc.red('It does not add up.'),
  ].join('\n');
};

const channelsOf = (windows: readonly StoredWindow[]): (string | number)[][] => {
  const names = [...new Set(windows.map((one) => `${one.channel}/${one.provider}`))].sort();
  return names.map((name) => {
    const own = windows.filter((one) => `${one.channel}/${one.provider}` === name);
    const sum = (
      field:
        | 'attempts'
        | 'messages'
        | 'accepted'
        | 'delivered'
        | 'failed_provider'
        | 'timeout'
        | 'failed_account',
    ) => own.reduce((total, one) => total + one[field], 0);
    return [
      name,
      own.length,
      sum('attempts'),
      sum('messages'),
      sum('accepted'),
      sum('delivered'),
      sum('failed_provider') + sum('timeout') + sum('failed_account'),
    ];
  });
};
