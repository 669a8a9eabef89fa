import type { Command } from 'commander';
import { type Recharge, postgresRecharges } from '../../sinks/postgres/recharges.js';
import { amountText, standingText } from '../audit/recharge-text.js';
import { nameOf } from '../budget/accounts.js';
import { type Cli, toJson } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { NotNow } from '../cli/exit.js';
import { withDatabase } from '../cli/with-database.js';

export const auditShow = (cli: Cli): Command =>
  command(
    'show',
    'One recharge: what the rule saw, who was asked, who decided, when and why, and what came of it.',
    [
      'millrace audit show recharge/lantern/promotions/4',
      'millrace audit show recharge/lantern/promotions/4 --json',
    ],
  )
    .argument('<recharge>', 'as millrace audit list has it')
    .option('--json', 'machine-readable: micros of the currency')
    .action(async (id: string, { json }: { readonly json?: true }) => {
      const found = await withDatabase(cli.environment(['postgres']).postgres, (database) =>
        postgresRecharges(database).find(id),
      );
      if (found === null)
        throw new NotNow(`there is no recharge ${id}: millrace audit list --all has them`);
      if (json === true) cli.printJson(found);
      else for (const line of lines(found)) cli.print(line);
    });

const at = (time: Date | null): string => (time === null ? '' : ` at ${time.toISOString()}`);

const lines = (one: Recharge): readonly string[] => [
  `${one.rechargeId}: ${nameOf(one)} ${amountText(one)}`,
  `rule ${one.rule} proposed it${at(one.proposedAt)}; it saw ${toJson(one.seen)}`,
  ...(one.askedAt === null
    ? []
    : [
        `a person was asked${at(one.askedAt)}, for an answer by ${one.answerBy?.toISOString() ?? ''}: ${one.askedBecause ?? ''}`,
      ]),
  ...(one.escalatedAt === null ? [] : [`nobody had answered: escalated${at(one.escalatedAt)}`]),
  ...(one.decidedAt === null ? [] : [`decided${at(one.decidedAt)}: ${one.reason ?? ''}`]),
  `state: ${standingText(one, new Date())}${at(one.endedAt)}`,
];
