import type { Command } from 'commander';
import { postgresLedger } from '../../sinks/postgres/ledger.js';
import type { AccountName } from '../../sinks/postgres/transfers.js';
import { accountName, nameOf } from '../budget/accounts.js';
import { leftText, pendingText } from '../budget/amounts.js';
import type { Asked, BookingOptions } from '../budget/booking.js';
import { booked, bookingOptions, told } from '../budget/booking.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { withDatabase } from '../cli/with-database.js';

export const budgetClose = (cli: Cli): Command =>
  bookingOptions(
    command(
      'close',
      `Close an account for good: from now on its messages are refused account_closed, and it takes nothing in. What is
pending is settled as ever. What is left stays there, is reported, and can be moved out by budget transfer. Shows what
would come of it and an --id; --apply does it.`,
      [
        'millrace budget close pebble/trial',
        'millrace budget close pebble/trial --id FIN-1250 --reason "trial is over" --apply',
      ],
    ).argument('<account>', 'tenant/line', accountName),
  ).action(async (account: AccountName, options: BookingOptions) => {
    const asked = closeOf(account);
    await withDatabase(cli.environment(['postgres']).postgres, async (database) => {
      const answer = await booked(cli, database, options, asked);
      if (options.json === true) return;
      const now = (await postgresLedger(database).balances()).find(
        (one) => nameOf(one) === nameOf(account),
      );
      told(cli, answer, asked, {
        would: `close ${nameOf(account)}`,
        did: `closed ${nameOf(account)}`,
        left: leftText(account, answer.booking.left, answer.currency),
      });
      if (now !== undefined) cli.print(`pending now: ${pendingText(now)}`);
    });
  });

const closeOf = (account: AccountName): Asked => ({
  kind: 'close',
  account,
  what: { account: nameOf(account) },
  typed: `close ${nameOf(account)}`,
  book: (transfers, change, apply) => transfers.close({ ...change, ...account }, apply),
});
