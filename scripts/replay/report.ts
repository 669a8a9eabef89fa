import { decimalOf } from '../../schemas/config.js';
import type { Cli } from '../cli/cli.js';
import { Unsuccessful } from '../cli/exit.js';
import { sizeOf } from '../rebuild/spans.js';
import type { Census } from './census.js';
import type { RecoveryOptions, RecoveryReport } from './run.js';

/** What each figure is called, in the order of the report. */
export type Words = Readonly<Record<string, string>>;

const COMMON: Words = {
  filtered: 'left out by --where and the other filters',
  unanswered: '--where had no answer: left out',
  unreadable: 'cannot be read: left where they are',
  refused: 'were refused: millrace redrive --from refused brings those back',
  notYet: 'must not be sent yet (notBefore)',
  ahead: 'were not taken by their own stage yet: they are to come by themselves',
  alreadyDone: 'are done already or under way: nothing would happen',
  wouldPass: 'would go on',
  wouldBeRefused: 'would become dead letters: no message of ours, or without money at send',
  written: 'put back through again.*',
};

const number = (value: number): string => value.toString().padStart(10);

const counts = (named: Readonly<Record<string, number>>): string =>
  Object.entries(named)
    .sort(([, a], [, b]) => b - a)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');

const printCensus = ({ print }: Cli, census: Census): void => {
  if (Object.keys(census.tenants).length === 0) return;
  print('Of those that would go on:');
  print(`  tenants   ${counts(census.tenants)}`);
  print(`  channels  ${counts(census.channels)}`);
  print(`  lanes     ${counts(census.lanes)}`);
  const day = (at: number | null): string => (at === null ? '' : new Date(at).toISOString());
  print(`  created   ${day(census.oldest)} to ${day(census.newest)}`);
  const cash = Object.entries(census.cashMicros).map(
    ([currency, micros]) => `${decimalOf(micros)} ${currency}`,
  );
  print(
    `  cost      at most ${[...cash, `${census.units} PV units`].join(', ')}, reserved anew${
      census.unpriced === 0 ? '' : `; ${census.unpriced} have no price and would be refused`
    }`,
  );
};

/** Prints what was found or done. @throws Unsuccessful where it is not finished */
export const report = (
  cli: Cli,
  { json }: RecoveryOptions,
  found: RecoveryReport,
  words: Words = {},
): void => {
  const { applied, run, figures, outcome, finished, census } = found;
  if (json === true) {
    const rate = Math.round((figures['read'] ?? 0) / Math.max(found.seconds, 0.001));
    cli.printJson({ ...found, recordsPerSecond: rate });
  } else {
    for (const { topic, partition, from, to } of found.range)
      cli.print(`${topic}/${partition}  ${from} to ${to}`);
    const read = figures['read'] ?? 0;
    const rate = Math.round(read / Math.max(found.seconds, 0.001));
    cli.print(
      `${read} records read (${sizeOf(found.range)} offsets) in ${found.seconds.toFixed(1)} s, ${rate}/s`,
    );
    for (const [name, word] of Object.entries({ ...words, ...COMMON })) {
      const count = figures[name];
      if (count !== undefined && (count > 0 || name === 'written' || name === 'wouldPass'))
        cli.print(`${number(count)}  ${word}`);
    }
    if (census !== null) printCensus(cli, census);
    if (outcome !== null) {
      cli.print('Of those put back:');
      cli.print(`${number(outcome.letIn)}  were let in and go on`);
      if (outcome.alreadyDone !== null)
        cli.print(`${number(outcome.alreadyDone)}  were done already: nothing happened`);
      if (outcome.deadLettered > 0)
        cli.print(`${number(outcome.deadLettered)}  are dead letters: millrace status`);
    }
    if (!applied) cli.print('Nothing was written. To do it: --reason "..." --apply');
    else if (finished) cli.print(`done (run ${run ?? ''})`);
  }
  if (found.unanswered !== null) cli.note(`--where, first without an answer: ${found.unanswered}`);
  if (finished) return;
  if (outcome !== null)
    cli.note(
      'everything is on again.*, but nobody has looked at all of it yet: is a worker of group `again` running?',
    );
  cli.note(applied ? `to go on: --apply --resume ${run ?? ''}` : 'interrupted');
  throw new Unsuccessful();
};
