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

export const budgetGrant = (cli: Cli): Command =>
  bookingOptions(
    command(
      'grant',
      `Recharge an account. Shows what would come of it and an --id; --apply does it. Typed again under one id it is booked
once. New accounts are opened by the configuration (config apply), not by a grant.`,
      [
        'millrace budget grant lantern/promotions --cash 500.00 --currency CNY --units 10000',
        'millrace budget grant lantern/promotions --cash 500.00 --currency CNY --id FIN-1234 --reason "May top-up" --apply',
      ],
    )
      .argument('<account>', 'tenant/line', accountName)
      .option('--cash <amount>', 'decimal, at most 6 places', cash)
      .option('--currency <code>', 'of --cash; must be the one of the account')
      .option('--units <n>', 'PV', units),
  ).action(async (account: AccountName, options: AmountOptions & BookingOptions) => {
    const amounts = amountsOf(options);
    const asked = grantOf(account, amounts);
    await withDatabase(cli.environment(['postgres']).postgres, async (database) => {
      const answer = await booked(cli, database, options, asked);
      if (options.json === true) return;
      const sum = `${nameOf(account)} ${sumText(amounts)}`;
      const left = leftText(account, answer.booking.left, answer.currency);
      told(cli, answer, asked, { would: `grant ${sum}`, did: `granted ${sum}`, left });
    });
  });

const grantOf = (account: AccountName, amounts: Amounts): Asked => ({
  kind: 'grant',
  account,
  what: { account: nameOf(account), ...amounts },
  typed: `grant ${nameOf(account)} ${typedAmounts(amounts)}`,
  book: (transfers, change, apply) => transfers.grant({ ...change, ...account, ...amounts }, apply),
});
