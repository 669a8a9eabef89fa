import { createLogUpdate } from 'log-update';
import pc from 'picocolors';
import { decimalOf } from '../../schemas/config.js';
import type { Snapshot } from './snapshot.js';
import { sumOf } from './snapshot.js';

/** Shows the demo while it runs. */
export interface View {
  readonly show: (snapshot: Snapshot) => void;
  /** Something happened: stays on the screen. */
  readonly say: (line: string) => void;
  readonly close: () => void;
}

const STAGES = ['dedupe', 'budget-reserve', 'route', 'send', 'receipts', 'windows-partials'];
const LANES = ['p0', 'p1', 'p2', 'p3'];
const BAR = 30;
/** Without a terminal, a line so often. */
const LINE_EVERY_S = 5;

const bar = (share: number): string => {
  const full = Math.round(Math.min(1, share) * BAR);
  return `${'█'.repeat(full)}${pc.dim('░'.repeat(BAR - full))}`;
};
const percent = (part: number, whole: number): string =>
  whole === 0 ? '-' : `${((part / whole) * 100).toFixed(1)} %`;
const cell = (value: string | number, width = 10): string => String(value).padStart(width);

const levelOf = ({ levels }: Snapshot, channel: string): string => {
  const found = levels.find((level) => level.scope.startsWith(`channel/${channel}/`));
  if (found === undefined || found.level === 0) return pc.green('level 0');
  return pc.red(`level ${found.level}, rate ${(found.rateFactor * 100).toFixed(0)} %`);
};

/** The screen as lines. */
export const screen = (snapshot: Snapshot): string => {
  const { states, figures, rates, cash } = snapshot;
  const waiting = (lane: string) => figures?.waiting.get(lane) ?? 0;
  return [
    `${pc.bold('Millrace demo')}  ${snapshot.seconds.toFixed(0)} s  ${snapshot.phase}`,
    `${bar(states.produced / snapshot.messages)} ${states.produced} of ${snapshot.messages} produced`,
    '',
    `${'stage'.padEnd(10)}${STAGES.map((stage) => cell(stage, 17)).join('')}`,
    `${'per second'.padEnd(10)}${STAGES.map((stage) => cell(Math.round(rates.get(stage) ?? 0), 17)).join('')}`,
    '',
    `${'lane'.padEnd(10)}${LANES.map((lane) => cell(lane)).join('')}`,
    `${'waiting'.padEnd(10)}${LANES.map((lane) => cell(waiting(lane))).join('')}`,
    '',
    ...snapshot.channels.map(
      ({ name, attempts, errors }) =>
        `${name.padEnd(10)}${cell(`${attempts} in the last window`, 26)}  errors ${percent(errors, attempts).padStart(7)}  ${levelOf(snapshot, name)}`,
    ),
    '',
    `accepted ${states.accepted}  delivered ${states.delivered}  failed ${states.failed}  refused ${sumOf(states.refused)}  dead letters ${states.deadLetters}  parked ${states.parked}  held ${states.held}  in flight ${states.inFlight + states.unseen}`,
    cash === undefined
      ? ''
      : `budgets   granted ${decimalOf(cash.granted)}  available ${decimalOf(cash.available)}  pending ${decimalOf(cash.pending)}  posted ${decimalOf(cash.posted)}`,
  ].join('\n');
};

/** A moment in one line, for logs. */
export const line = (snapshot: Snapshot): string => {
  const { states } = snapshot;
  const channels = snapshot.channels
    .map(({ name, attempts, errors }) => {
      const level = snapshot.levels.find((one) => one.scope.startsWith(`channel/${name}/`));
      return `${name} ${percent(errors, attempts)} errors, level ${level?.level ?? 0}`;
    })
    .join('; ');
  return `${snapshot.seconds.toFixed(0).padStart(4)} s  ${snapshot.phase}  produced ${states.produced}  ended ${states.produced - states.inFlight - states.unseen}  on their way ${states.inFlight + states.unseen}  ${channels}`;
};

/** A screen that redraws itself on a terminal; elsewhere a line every few seconds. */
export const openView = (stream: NodeJS.WriteStream): View => {
  if (stream.isTTY) {
    const update = createLogUpdate(stream);
    let last = '';
    return {
      show: (snapshot) => {
        last = screen(snapshot);
        update(last);
      },
      say: (text) => {
        update.clear();
        stream.write(`${text}\n`);
        if (last !== '') update(last);
      },
      close: () => {
        update.done();
      },
    };
  }
  let next = 0;
  return {
    show: (snapshot) => {
      if (snapshot.seconds < next) return;
      next = snapshot.seconds + LINE_EVERY_S;
      stream.write(`${line(snapshot)}\n`);
    },
    say: (text) => {
      stream.write(`${text}\n`);
    },
    close: () => undefined,
  };
};
