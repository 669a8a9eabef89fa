import type { Command } from 'commander';
import { decimalOf } from '../../schemas/config.js';
import type { AccountBurn, Burn } from '../../sinks/postgres/burn.js';
import { accountBurns } from '../../sinks/postgres/burn.js';
import { chosen, nameOf } from '../budget/accounts.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { pointInTime } from '../cli/options.js';
import { table } from '../cli/table.js';
import { withDatabase } from '../cli/with-database.js';

interface Options {
  readonly since: number;
  readonly json?: true;
}

export const budgetBurn = (cli: Cli): Command =>
  command(
    'burn',
    `How fast accounts are spent, and until when they last at that rate.
  spent    = of the messages that reserved since --since: what they cost (posted less paid back), and what they may
             cost where they are still pending
  rate     = spent / (now - since), or since the account was opened, if that is later
  empty at = now + available / rate, for cash and for PV`,
    [
      'millrace budget burn                         # the last 24 hours',
      'millrace budget burn lantern --since 1h',
      `millrace budget burn --json | jq '.[] | select(.cash.emptyAt != null)'`,
    ],
  )
    .argument('[accounts...]', 'tenant/line, or tenant; default: all')
    .option('--since <time>', 'how far back: 1h, 7d, or a time', pointInTime, pointInTime('24h'))
    .option('--json', 'machine-readable: micros of the currency')
    .action(async (names: readonly string[], { since, json }: Options) => {
      const burns = chosen(
        await withDatabase(cli.environment(['postgres']).postgres, (database) =>
          accountBurns(database, new Date(since)),
        ),
        names,
      );
      if (json === true) cli.printJson(burns);
      else
        cli.print(
          table(
            ['account', '', 'spent', 'an hour', 'available', 'lasts', 'empty at'],
            burns.flatMap((one) => [
              [nameOf(one), one.currency, ...cells(one, one.cash, decimalOf)],
              ['', 'PV', ...cells(one, one.pv, String)],
            ]),
          ),
        );
    });

const cells = (
  { until }: AccountBurn,
  { spent, perHour, available, emptyAt }: Burn,
  text: (amount: bigint) => string,
): readonly string[] => [
  text(spent),
  text(perHour),
  text(available),
  emptyAt === null ? '' : lasting(emptyAt.getTime() - until.getTime()),
  emptyAt === null ? '' : `${emptyAt.toISOString().slice(0, 16)}Z`,
];

/** Two units are enough: 3 d 4 h, 5 h 12 m, 9 m. */
const lasting = (ms: number): string => {
  const minutes = Math.floor(ms / 60_000);
  const [days, hours] = [Math.floor(minutes / 1_440), Math.floor(minutes / 60)];
  if (days > 0) return `${days} d ${hours % 24} h`;
  return hours > 0 ? `${hours} h ${minutes % 60} m` : `${minutes} m`;
};
