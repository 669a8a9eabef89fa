import type { Command } from 'commander';
import { decimalOf } from '../../schemas/config.js';
import type { AccountBalance } from '../../sinks/postgres/ledger.js';
import { postgresLedger } from '../../sinks/postgres/ledger.js';
import { chosen, nameOf } from '../budget/accounts.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { table } from '../cli/table.js';
import { withDatabase } from '../cli/with-database.js';

export const budgetShow = (cli: Cli): Command =>
  command(
    'show',
    `What accounts hold, in cash and in PV. granted = available + pending + posted: pending is held for messages that are
under way, posted was paid.`,
    [
      'millrace budget show',
      'millrace budget show lantern                # every account of a tenant',
      'millrace budget show pebble/trial --json',
    ],
  )
    .argument('[accounts...]', 'tenant/line, or tenant; default: all')
    .option('--json', 'machine-readable: micros of the currency')
    .action(async (names: readonly string[], { json }: { readonly json?: true }) => {
      const accounts = chosen(
        await withDatabase(cli.environment(['postgres']).postgres, (database) =>
          postgresLedger(database).balances(),
        ),
        names,
      );
      if (json === true) cli.printJson(accounts);
      else report(cli, accounts);
    });

const report = (cli: Cli, accounts: readonly AccountBalance[]): void => {
  if (accounts.length === 0) {
    cli.print('There are no accounts: millrace config apply opens those of the configuration');
    return;
  }
  cli.print(
    table(
      ['account', '', 'granted', 'available', 'pending', 'posted', 'state'],
      accounts.flatMap((one) => [
        [nameOf(one), one.currency, ...shown(one.cash, decimalOf), one.open ? 'open' : 'closed'],
        ['', 'PV', ...shown(one.pv, String), ''],
      ]),
    ),
  );
};

const shown = (
  { granted, available, pending, posted }: AccountBalance['cash'],
  text: (amount: bigint) => string,
): readonly string[] => [granted, available, pending, posted].map(text);
