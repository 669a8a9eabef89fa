import type { Command } from 'commander';
import type { OperatorAction } from '../../sinks/postgres/operator-actions.js';
import { withActions } from '../actions/recorded.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { integer, pointInTime } from '../cli/options.js';

interface Options {
  readonly since: number;
  readonly limit: number;
  readonly verbose?: true;
  readonly json?: true;
}

export const actions = (cli: Cli): Command =>
  command(
    'actions',
    'What operators did by command: when, who, what, why, and what came of it. Every command with --apply writes here before it acts.',
    [
      'millrace actions                     # the last 30 days',
      'millrace actions --since 2h --verbose    # with ranges and figures',
      `millrace actions --json | jq '.[] | select(.state != "done")'`,
    ],
  )
    .option('--since <time>', 'how far back: 2h, 30d, or a time', pointInTime, pointInTime('30d'))
    .option('--limit <n>', 'at most so many, the newest', integer(1, 10_000), 200)
    .option('--verbose', 'options, range and figures of each')
    .option('--json', 'machine-readable')
    .action(async ({ since, limit, verbose, json }: Options) => {
      const { postgres } = cli.environment(['postgres']);
      const found = await withActions(postgres, (table) => table.list(since, limit));
      if (json === true) {
        cli.printJson(found);
        return;
      }
      for (const one of found) {
        cli.print(line(one));
        if (verbose === true)
          for (const [name, value] of Object.entries({
            what: one.what,
            progress: one.progress,
            outcome: one.outcome,
          }))
            if (value !== null) cli.print(`    ${name}: ${JSON.stringify(value)}`);
      }
      if (found.length === 0)
        cli.print(
          `Nothing was done since ${new Date(since).toISOString()}. Further back: --since 365d`,
        );
    });

const line = ({ startedAt, state, actor, command: name, reason, id }: OperatorAction): string =>
  `${startedAt.toISOString().slice(0, 19)}Z  ${state.padEnd(11)}  ${actor}  ${name}: ${reason}  (${id})`;
