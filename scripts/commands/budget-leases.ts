import type { Command } from 'commander';
import { decimalOf } from '../../schemas/config.js';
import {
  type GivenBack,
  type OpenLease,
  giveBackLease,
  openLeases,
} from '../../sinks/postgres/lease-accounts.js';
import { operatorActions } from '../../sinks/postgres/operator-actions.js';
import type { Database } from '../../sinks/postgres/pool.js';
import type { Environment } from '../../topologies/config.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import { groupOf } from '../../topologies/runtime/worker.js';
import { topicNames } from '../../topologies/topic-names.js';
import { type Ended, recorded, requiredReason } from '../actions/recorded.js';
import { chosen, nameOf } from '../budget/accounts.js';
import { reAdd } from '../budget/re-add.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { BreaksFound, NotNow, Unsuccessful } from '../cli/exit.js';
import { integer } from '../cli/options.js';
import { table } from '../cli/table.js';
import { withDatabase } from '../cli/with-database.js';

type KafkaEnvironment = Environment['kafka'];

interface Options {
  readonly giveBack?: number;
  readonly reAdd?: true;
  readonly reason?: string;
  readonly apply?: true;
  readonly json?: true;
}

const WHY: Readonly<Record<Exclude<GivenBack['kind'], 'given_back'>, string>> = {
  unknown: 'there is no such lease',
  in_use:
    'its partition may spend of it, and gives it back by itself: within seconds where nobody does',
  unsettled:
    'settle has not read all that was spent before it was set aside: see millrace status, and try again',
  nothing: 'it has nothing left',
};

export const budgetLeases = (cli: Cli): Command =>
  command(
    'leases',
    `What partitions of intake hold of accounts, to spend without asking: part of pending. A lease goes back by itself
once nobody spends of it, unless its partition lost its state and has another lease since (set aside): what that one has
left goes back with --give-back, once settle has read all that was spent of it. --re-add adds up again what every lease
spent, from the log that justifies it, and compares it with the ledger; it ends with 3 where they differ.`,
    [
      'millrace budget leases',
      'millrace budget leases harbour/logistics --json',
      'millrace budget leases --re-add',
      'millrace budget leases --give-back 17 --reason "internal.leases was deleted" --apply',
    ],
  )
    .argument('[accounts...]', 'tenant/line, or tenant; default: all')
    .option('--give-back <lease>', 'what this one has left', integer(1, 2 ** 31 - 1))
    .option('--re-add', 'from internal.spends.*, up to where settle has booked it')
    .option('--reason <text>', 'why; kept in the record of actions')
    .option('--apply', 'do it; default: show only')
    .option('--json', 'machine-readable: micros of the currency')
    .action(async (names: readonly string[], options: Options) => {
      const { postgres, kafka } = cli.environment(['postgres', 'kafka']);
      await withDatabase(postgres, (database) =>
        options.reAdd === true
          ? compared(cli, database, kafka, options)
          : leases(cli, database, groupOf(kafka.prefix, 'settle'), names, options),
      );
    });

const leases = async (
  cli: Cli,
  database: Database,
  settle: string,
  names: readonly string[],
  options: Options,
): Promise<void> => {
  const { giveBack } = options;
  const json = options.json === true;
  const all = await openLeases(database);
  const shown =
    giveBack === undefined ? chosen(all, names) : all.filter(({ lease }) => lease === giveBack);
  if (giveBack === undefined || options.apply !== true) {
    if (json) cli.printJson({ leases: shown.map(withLeft), applied: false });
    else report(cli, shown, giveBack);
    return;
  }
  const reason = requiredReason(options.reason);
  const { id, outcome } = await recorded(
    operatorActions(database),
    { command: 'budget leases', reason, what: { giveBack } },
    async (): Promise<Ended<GivenBack>> => {
      const done = await giveBackLease(database, giveBack, settle);
      return { state: done.kind === 'given_back' ? 'done' : 'failed', outcome: done };
    },
  );
  if (json) cli.printJson({ applied: outcome.kind === 'given_back', action: id, ...outcome });
  if (outcome.kind !== 'given_back') {
    if (json) throw new Unsuccessful();
    throw new NotNow(`lease ${String(giveBack)} was not given back: ${WHY[outcome.kind]}`);
  }
  if (!json)
    cli.print(
      `lease ${String(giveBack)} gave back ${decimalOf(outcome.cashMicros)} and ${String(outcome.units)} PV (action ${id})`,
    );
};

const compared = async (
  cli: Cli,
  database: Database,
  kafka: KafkaEnvironment,
  { json }: Options,
): Promise<void> => {
  const found = await reAdd({
    database,
    settings: rdkafkaConnection(kafka),
    names: topicNames(kafka.prefix),
    settle: groupOf(kafka.prefix, 'settle'),
    now: Date.now(),
  });
  const differ = found.leases.filter(({ verdict }) => verdict === 'differs');
  if (json === true) cli.printJson(found);
  else {
    const odd = found.leases.filter(({ verdict }) => verdict !== 'same');
    if (odd.length > 0)
      cli.print(
        table(
          ['lease', 'account', 'booked', 'log', '', 'booked PV', 'log PV', ''],
          odd.map((one) => [
            String(one.lease),
            nameOf(one),
            decimalOf(one.cash),
            decimalOf(one.logCash),
            one.currency,
            String(one.units),
            String(one.logUnits),
            one.verdict === 'older' ? 'older than the log' : 'differs',
          ]),
        ),
      );
    cli.print(
      `${String(found.leases.length)} leases, ${String(found.spends)} spends in the log: ${String(differ.length)} differ`,
    );
  }
  if (differ.length > 0) throw new BreaksFound();
};

const withLeft = (lease: OpenLease) => ({
  ...lease,
  cash: { ...lease.cash, left: leftOf(lease.cash) },
  pv: { ...lease.pv, left: leftOf(lease.pv) },
});

const leftOf = ({ granted, spent, returned }: OpenLease['cash']): bigint =>
  granted - spent - returned;

const report = (cli: Cli, all: readonly OpenLease[], giveBack: number | undefined): void => {
  if (all.length === 0) {
    cli.print(
      giveBack === undefined ? 'No lease is open.' : `Lease ${String(giveBack)} has nothing left.`,
    );
    return;
  }
  cli.print(
    table(
      ['lease', 'account', 'partition', 'left', '', 'left PV', 'granted at (UTC)', ''],
      all.map((one) => [
        String(one.lease),
        nameOf(one),
        `${one.topic}/${String(one.partition)}`,
        decimalOf(leftOf(one.cash)),
        one.currency,
        String(leftOf(one.pv)),
        one.grantedAt.toISOString().slice(0, 19).replace('T', ' '),
        one.setAsideAt === null ? '' : 'set aside',
      ]),
    ),
  );
  cli.print('Left is what settle has not read as spent yet, too.');
  const aside = all.filter(({ setAsideAt }) => setAsideAt !== null);
  if (aside.length > 0)
    cli.print(
      `Set aside: their partitions lost their state. Give one back: millrace budget leases --give-back ${String(aside[0]?.lease ?? 0)} --reason "..." --apply`,
    );
};
