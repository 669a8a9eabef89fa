import type { Command } from 'commander';
import { asError } from '../../schemas/error.js';
import type { Environment } from '../../topologies/config.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { Unsuccessful } from '../cli/exit.js';
import { CONFIG_FOLDER, businessConfig, tableOf } from '../cli/installation.js';
import { withAdmin } from '../cli/kafka-admin.js';
import { withDatabase } from '../cli/with-database.js';
import type { OpenTransaction } from '../transactions/describe.js';
import { describeFound, ownerText } from '../transactions/describe.js';
import type { FoundTransaction } from '../transactions/find.js';
import { findTransactions } from '../transactions/find.js';
import { heldIds } from '../transactions/owner.js';
import { transactionsAbort } from './transactions-abort.js';

interface Options {
  readonly dir: string;
  readonly json?: true;
}

export const transactions = (cli: Cli): Command =>
  command(
    'transactions',
    `Transactions that are open now: of our workers, and of anyone who writes to our topics. While one is open, no
read_committed reader gets past its start offset. Under load a few that are milliseconds old are normal; what should
have ended by itself is marked OVERDUE, and what no coordinator will ever end HANGING, with the command that ends it.
Ends with 1 if there are any of these.`,
    [
      'millrace transactions',
      `millrace transactions --json | jq '.[] | select(.overdue)'`,
      'millrace transactions abort --help     # ending one',
    ],
  )
    .option('--dir <folder>', 'business configuration: its channels have topics', CONFIG_FOLDER)
    .option('--json', 'machine-readable')
    .enablePositionalOptions()
    .action(async (options: Options) => {
      const { kafka, postgres } = cli.environment(['kafka', 'postgres']);
      const table = tableOf(businessConfig(options.dir), kafka.prefix);
      const found = await withAdmin(kafka, async (admin) => {
        const there = new Set(await admin.listTopics());
        return findTransactions(
          kafka,
          admin,
          table.map(({ name }) => name).filter((name) => there.has(name)),
        );
      });
      const held = await slotsOf(cli, postgres, found);
      const now = Date.now();
      const shown = found
        .map((one) => describeFound(one, kafka.prefix, held, now))
        .sort((a, b) => b.ageMs - a.ageMs);
      if (options.json === true) cli.printJson(shown);
      else report(cli, shown);
      if (shown.some(({ overdue }) => overdue)) throw new Unsuccessful();
    })
    .addCommand(transactionsAbort(cli));

const slotsOf = async (
  cli: Cli,
  postgres: Environment['postgres'],
  found: readonly FoundTransaction[],
): Promise<ReadonlySet<string> | null> => {
  const ids = found.flatMap((one) =>
    one.kind === 'coordinated' ? [one.transaction.transactionalId] : [],
  );
  if (ids.length === 0) return new Set();
  try {
    return await withDatabase(postgres, (database) => heldIds(database, ids));
  } catch (thrown) {
    cli.note(`whether workers hold these slots is not known: ${asError(thrown).message}`);
    return null;
  }
};

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

const report = (cli: Cli, shown: readonly OpenTransaction[]): void => {
  for (const one of shown) {
    const verdict = one.kind === 'hanging' ? 'HANGING' : one.overdue ? 'OVERDUE' : 'open';
    const limit = one.timeoutMs === null ? '' : ` of ${seconds(one.timeoutMs)}`;
    cli.print(
      `${verdict}  ${one.transactionalId ?? 'no transactional id'}  ${one.state ?? 'unknown to every coordinator'}  ${seconds(one.ageMs)}${limit}  producer ${one.producerId} epoch ${one.producerEpoch}  (${ownerText(one.owner)})`,
    );
    for (const { topic, partition, startOffset } of one.partitions)
      cli.print(
        `    ${topic}/${partition}${startOffset === null ? '' : ` from offset ${startOffset}`}`,
      );
    for (const line of one.endedBy) cli.print(`    $ ${line}`);
    if (one.overdue && one.endedBy.length === 0)
      cli.print(
        `    ${one.state ?? ''} is decided: its coordinator must write it. Restart the broker that coordinates it (kafka-transactions.sh describe names it).`,
      );
  }
  const overdue = shown.filter((one) => one.overdue).length;
  cli.print(`${shown.length} open, ${overdue} of them overdue or hanging`);
};
