import type { Command } from 'commander';
import { decimalOf } from '../../schemas/config.js';
import { PipelineError } from '../../schemas/error.js';
import type { BreakerLevel, ChannelWindow } from '../../schemas/generated/records.js';
import { postgresLedger } from '../../sinks/postgres/ledger.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import { topicNames } from '../../topologies/topic-names.js';
import type { Cli } from '../cli/cli.js';
import { withCodecs } from '../cli/codecs.js';
import { command } from '../cli/command.js';
import { CONFIG_FOLDER, businessConfig, tableOf } from '../cli/installation.js';
import { withAdmin } from '../cli/kafka-admin.js';
import { table } from '../cli/table.js';
import { withDatabase } from '../cli/with-database.js';
import type { GroupLag } from '../status/lag.js';
import { groupLags } from '../status/lag.js';
import type { Reading } from '../status/latest.js';
import { countRecords, latestLevels, latestWindows } from '../status/latest.js';

interface Options {
  readonly dir: string;
  readonly json?: true;
}

type Balances = Awaited<ReturnType<ReturnType<typeof postgresLedger>['balances']>>;

interface Status {
  readonly lag: readonly GroupLag[];
  readonly levels: readonly BreakerLevel[];
  readonly windows: readonly ChannelWindow[];
  readonly accounts: Balances;
  readonly deadLetters: number;
}

export const status = (cli: Cli): Command =>
  command(
    'status',
    'What waits, how the channels fare, what the accounts hold: read from Kafka and Postgres, asking no worker.',
    ['millrace status', 'millrace status --json | jq ".lag[] | select(.records > 0)"'],
  )
    .option('--dir <folder>', 'business configuration', CONFIG_FOLDER)
    .option('--json', 'machine-readable')
    .action(async (options: Options) => {
      const { kafka, registry, postgres } = cli.environment(['kafka', 'registry', 'postgres']);
      const names = topicNames(kafka.prefix);
      const specs = tableOf(businessConfig(options.dir), kafka.prefix);
      const read = [names.breakerLevels, names.windows];
      const spec: Reading['spec'] = (name) => {
        const found = specs.find((one) => one.name === name);
        if (found === undefined) throw new PipelineError('defect', `no topic ${name} in the table`);
        return found;
      };
      const found = await withAdmin(kafka, (admin) =>
        withCodecs(registry, read.map(spec), async (codecs): Promise<Status> => {
          const settings = rdkafkaConnection(kafka);
          const reading = { settings, codecs, spec };
          const [lag, levels, windows, accounts, deadLetters] = await Promise.all([
            groupLags(admin, kafka),
            latestLevels(reading, names.breakerLevels),
            latestWindows(reading, names.windows),
            withDatabase(postgres, (database) => postgresLedger(database).balances()),
            countRecords(settings, names.deadLetters),
          ]);
          return { lag, levels, windows, accounts, deadLetters };
        }),
      );
      if (options.json === true) cli.printJson(found);
      else report(cli, found);
    });

const time = (ms: number): string => new Date(ms).toISOString().slice(11, 19);
const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

const report = (cli: Cli, found: Status): void => {
  const section = (
    title: string,
    rows: readonly (readonly (string | number)[])[],
    head: readonly string[],
  ) => {
    cli.print(`\n${title}`);
    cli.print(rows.length === 0 ? '  nothing' : table(head, rows));
  };
  section(
    'Waiting (records behind the last stable offset)',
    found.lag.map((one) => [
      one.task,
      one.exact ? one.records : `<= ${one.records}`,
      one.topics[0]?.topic ?? '',
    ]),
    ['task', 'records', 'most in'],
  );
  section(
    'Breaker',
    found.levels.map((one) => [
      one.scope,
      one.level,
      percent(one.rateFactor),
      time(one.since),
      one.cause,
    ]),
    ['scope', 'level', 'rate', 'since (UTC)', 'cause'],
  );
  section(
    'Last windows',
    found.windows.map((one) => [
      `${one.channel}/${one.provider ?? ''}/${one.lane ?? ''}`,
      time(one.windowStart),
      one.attempts,
      one.accepted,
      one.delivered,
      percent(one.errorRate),
      Math.round(one.latencyP99Ms),
    ]),
    [
      'channel/provider/lane',
      'from (UTC)',
      'attempts',
      'accepted',
      'delivered',
      'errors',
      'p99 ms',
    ],
  );
  section(
    'Accounts',
    found.accounts.map((one) => [
      `${one.tenantId}/${one.businessLine}`,
      one.currency,
      ...[one.cash.granted, one.cash.available, one.cash.pending, one.cash.posted].map(decimalOf),
      Number(one.pv.available),
      Number(one.pv.pending),
      Number(one.pv.posted),
    ]),
    [
      'account',
      '',
      'granted',
      'available',
      'pending',
      'posted',
      'PV available',
      'pending',
      'posted',
    ],
  );
  cli.print(`\nDead letters: ${found.deadLetters}`);
};
