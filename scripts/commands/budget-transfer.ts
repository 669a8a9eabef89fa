import type { Command } from 'commander';
import type { AccountName } from '../../sinks/postgres/transfers.js';
import { accountName, nameOf } from '../budget/accounts.js';
import type { AmountOptions, Amounts } from '../budget/amounts.js';
import { amountsOf, cash, leftText, sumText, typedAmounts, units } from '../budget/amounts.js';
import type { Asked, BookingOptions } from '../budget/booking.js';
import { booked, bookingOptions, told } from '../budget/booking.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { withDatabase } from '../cli/with-database.js';

export const budgetTransfer = (cli: Cli): Command =>
  bookingOptions(
    command(
      'transfer',
      `Move what is available from one account to another of the same tenant and currency: cash and PV, both or neither.
What is pending or posted stays. Shows what would come of it and an --id; --apply does it, once under one id. A closed
account may give, but not take.`,
      [
        'millrace budget transfer lantern/promotions lantern/orders --cash 200.00 --currency CNY',
        'millrace budget transfer lantern/promotions lantern/orders --units 5000 --id FIN-1240 --reason "orders ran dry" --apply',
      ],
    )
      .argument('<from>', 'tenant/line that gives', accountName)
      .argument('<to>', 'tenant/line that gains', accountName)
      .option('--cash <amount>', 'decimal, at most 6 places', cash)
      .option('--currency <code>', 'of --cash; must be the one of both accounts')
      .option('--units <n>', 'PV', units),
  ).action(async (from: AccountName, to: AccountName, options: AmountOptions & BookingOptions) => {
    const amounts = amountsOf(options);
    const asked = transferOf(from, to, amounts);
    await withDatabase(cli.environment(['postgres']).postgres, async (database) => {
      const answer = await booked(cli, database, options, asked);
      if (options.json === true) return;
      const sum = `${sumText(amounts)} from ${nameOf(from)} to ${nameOf(to)}`;
      const { left, fromLeft } = answer.booking;
      told(cli, answer, asked, {
        would: `move ${sum}`,
        did: `moved ${sum}`,
        left: `${leftText(from, fromLeft, answer.currency)}; ${leftText(to, left, answer.currency)}`,
      });
    });
  });

const transferOf = (from: AccountName, to: AccountName, amounts: Amounts): Asked => ({
  kind: 'transfer',
  account: to,
  what: { from: nameOf(from), to: nameOf(to), ...amounts },
  typed: `transfer ${nameOf(from)} ${nameOf(to)} ${typedAmounts(amounts)}`,
  book: (transfers, change, apply) =>
    transfers.transfer({ ...change, from, to, ...amounts }, apply),
});
