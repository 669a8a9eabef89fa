import { decimalOf } from '../../schemas/config.js';
import type { Cli } from '../cli/cli.js';
import { table } from '../cli/table.js';
import type { ShadowReport } from './run.js';

const shown = (micros: bigint): string => `${micros > 0n ? '+' : ''}${decimalOf(micros)}`;

const counts = (named: Readonly<Record<string, number>>): string => {
  const all = Object.entries(named).map(([name, count]) => `${name} ${count}`);
  return all.length === 0 ? 'none' : all.join(', ');
};

/** The difference, for people. */
export const report = (cli: Cli, found: ShadowReport): void => {
  const { difference, levels, levelsKnownSince } = found;
  cli.print(
    `run ${found.run}: ${found.changed.join(', ')} changed; sends cut off, nobody was asked and nothing was paid`,
  );
  for (const { topic, partition, from, to } of found.range)
    cli.print(`${topic}/${partition}  ${from} to ${to}`);
  cli.print(`${found.read} records read; of ${difference.compared} both decisions are known`);
  cli.print(`  ${difference.same} are decided alike`);
  if (difference.unknown > 0)
    cli.print(`  ${difference.unknown} have no decision that the topics still hold: left out`);
  if (difference.ofTheLedger > 0)
    cli.print(`  ${difference.ofTheLedger} were refused by the ledger: left out`);
  if (found.unreadable > 0) cli.print(`  ${found.unreadable} cannot be read`);
  if (difference.changes.length > 0)
    cli.print(
      table(
        ['then', 'now', 'messages'],
        difference.changes.map(({ from, to, count }) => [from, to, count]),
      ),
    );
  for (const [currency, { happened, shadow, difference: more }] of Object.entries(difference.cost))
    cli.print(
      `cost: ${decimalOf(happened)} ${currency} then, ${decimalOf(shadow)} now: ${shown(more)}`,
    );
  cli.print(`refused then: ${counts(difference.refusals.happened)}`);
  cli.print(`refused now:  ${counts(difference.refusals.shadow)}`);
  if (levels === null) cli.print('levels: as they were');
  else if (levels.length > 0)
    cli.print(
      table(
        ['scope', 'changes then', 'now', 'lowered s then', 'now', 'lowest rate then', 'now'],
        levels.map(({ scope, happened, shadow }) => [
          scope,
          happened.changes,
          shadow.changes,
          Math.round(happened.loweredMs / 1_000),
          Math.round(shadow.loweredMs / 1_000),
          happened.lowestRateFactor,
          shadow.lowestRateFactor,
        ]),
      ),
    );
  if (levelsKnownSince !== null)
    cli.note(
      `breaker levels are known since ${new Date(levelsKnownSince).toISOString()}; before, every channel counts as open`,
    );
  if (found.topics !== null)
    cli.note(
      `decisions: ${found.topics.join(', ')} (3 days); away with them: --forget ${found.run}`,
    );
};
