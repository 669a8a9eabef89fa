import type { Command } from 'commander';
import { decimalOf } from '../../schemas/config.js';
import { postgresLedger } from '../../sinks/postgres/ledger.js';
import type { AccountName, BookedTransfer } from '../../sinks/postgres/transfers.js';
import { postgresTransfers } from '../../sinks/postgres/transfers.js';
import { accountName, chosen, nameOf } from '../budget/accounts.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { integer } from '../cli/options.js';
import { table } from '../cli/table.js';
import { withDatabase } from '../cli/with-database.js';

interface Options {
  readonly limit: number;
  readonly json?: true;
}

export const budgetHistory = (cli: Cli): Command =>
  command(
    'history',
    `The journal of an account, newest first: grants, transfers in and out, its closing, who booked them and why. What
its messages cost is no part of it: budget show sums that, trace has it of each message.`,
    [
      'millrace budget history lantern/promotions',
      'millrace budget history lantern/promotions --limit 5 --json',
    ],
  )
    .argument('<account>', 'tenant/line', accountName)
    .option('--limit <n>', 'at most so many, the newest', integer(1, 100_000), 200)
    .option('--json', 'machine-readable: micros of the currency')
    .action(async (account: AccountName, { limit, json }: Options) => {
      const journal = await withDatabase(
        cli.environment(['postgres']).postgres,
        async (database) => {
          // Nothing booked and no such account are two things.
          chosen(await postgresLedger(database).balances(), [nameOf(account)]);
          return postgresTransfers(database).history(account, limit);
        },
      );
      if (json === true) cli.printJson(journal);
      else if (journal.length === 0) cli.print('Nothing was booked on it');
      else
        cli.print(
          table(
            [
              'at',
              'transfer',
              '',
              'cash',
              '',
              'PV',
              'other side',
              'available then',
              'PV',
              'by',
              'why',
            ],
            journal.map((one) => row(one, account)),
          ),
        );
    });

const row = (one: BookedTransfer, account: AccountName): readonly string[] => {
  const out = one.fromLine === account.businessLine && one.kind === 'transfer';
  const sign = one.kind === 'close' ? '' : out ? '-' : '+';
  const left = out ? one.fromLeft : one.left;
  const other = out ? one.businessLine : one.fromLine;
  return [
    `${one.bookedAt.toISOString().slice(0, 19)}Z`,
    one.transferId,
    one.kind,
    one.kind === 'close' ? '' : `${sign}${decimalOf(one.cashMicros)}`,
    one.currency,
    one.kind === 'close' ? '' : `${sign}${one.units}`,
    other === null ? '' : nameOf({ ...one, businessLine: other }),
    left === null ? '' : decimalOf(left.cashMicros),
    left === null ? '' : String(left.units),
    one.actor,
    one.note,
  ];
};
