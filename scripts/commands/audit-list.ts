import { type Command, Option } from 'commander';
import {
  RECHARGE_STATES,
  type Recharge,
  postgresRecharges,
} from '../../sinks/postgres/recharges.js';
import type { RechargeState } from '../../sinks/postgres/recharges.js';
import { amountText, standingText } from '../audit/recharge-text.js';
import { nameOf } from '../budget/accounts.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { integer } from '../cli/options.js';
import { table } from '../cli/table.js';
import { withDatabase } from '../cli/with-database.js';

interface Options {
  readonly all?: true;
  readonly state?: RechargeState;
  readonly limit: number;
  readonly json?: true;
}

export const auditList = (cli: Cli): Command =>
  command(
    'list',
    `Recharges that wait for a person or the automatic reviewer, oldest first; --all and --state: the archive too, who
decided, when and why. OVERDUE: nobody has answered in time.`,
    [
      'millrace audit list',
      'millrace audit list --all --limit 20',
      'millrace audit list --state rejected --json',
    ],
  )
    .option('--all', 'whatever their state, newest first')
    .addOption(new Option('--state <state>', 'only these').choices(RECHARGE_STATES))
    .option('--limit <n>', 'at most so many', integer(1, 100_000), 200)
    .option('--json', 'machine-readable: micros of the currency')
    .action(async ({ all, state, limit, json }: Options) => {
      const found = await withDatabase(cli.environment(['postgres']).postgres, (database) => {
        const recharges = postgresRecharges(database);
        if (state !== undefined) return recharges.inState([state], limit);
        return all === true
          ? recharges.archive(limit)
          : recharges.inState(['review', 'person'], limit);
      });
      if (json === true) cli.printJson(found);
      else if (found.length === 0) cli.print('There are none');
      else
        cli.print(
          table(
            ['recharge', 'account', 'amount', 'rule', 'proposed', 'state', 'why'],
            found.map(row),
          ),
        );
    });

const row = (one: Recharge): readonly string[] => [
  one.rechargeId,
  nameOf(one),
  amountText(one),
  one.rule,
  `${one.proposedAt.toISOString().slice(0, 19)}Z`,
  standingText(one, new Date()),
  one.reason ?? one.askedBecause ?? '',
];
