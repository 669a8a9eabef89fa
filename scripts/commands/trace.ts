import cliProgress from 'cli-progress';
import type { Command } from 'commander';
import pc from 'picocolors';
import type { Coordinates } from '../../schemas/record.js';
import type { Database } from '../../sinks/postgres/pool.js';
import { openDatabase } from '../../sinks/postgres/pool.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import type { Cli } from '../cli/cli.js';
import { withCodecs } from '../cli/codecs.js';
import { command } from '../cli/command.js';
import { UsageError, Unsuccessful } from '../cli/exit.js';
import { CONFIG_FOLDER, businessConfig, tableOf } from '../cli/installation.js';
import { withAdmin } from '../cli/kafka-admin.js';
import { place, pointInTime } from '../cli/options.js';
import { eventOf } from '../trace/describe.js';
import type { Trace, TraceEvent } from '../trace/events.js';
import { inOrder } from '../trace/events.js';
import { masked } from '../trace/mask.js';
import type { Found, SearchOptions, Wanted } from '../trace/search.js';
import {
  NO_MESSAGE,
  lookAgain,
  receiptsByProviderId,
  referencesIn,
  search,
} from '../trace/search.js';
import { messagesBy, providerReferences, tableEvents } from '../trace/tables.js';

interface Options {
  readonly tenant?: string;
  readonly key?: string;
  readonly at?: Coordinates;
  readonly providerId?: string;
  readonly since: number;
  readonly showPersonal?: true;
  readonly verbose?: true;
  readonly dir: string;
  readonly json?: true;
}

export const trace = (cli: Cli): Command =>
  command(
    'trace',
    'Everything that happened to one message, in order of time: records, decisions, money, attempts, receipts.',
    [
      'millrace trace 0192f0c1-5a3e-7b61-8f0e-2c4d5e6f7a8b',
      'millrace trace --tenant acme --key order-4711        # by idempotency key',
      'millrace trace --at ingest.p2/3/1205                 # by place',
      'millrace trace --provider-id 1795441793140035986039^0   # the id a carrier complains about',
      'millrace trace 0192f0c1-5a3e-7b61-8f0e-2c4d5e6f7a8b --since 7d --json',
    ],
  )
    .argument('[messageId]', 'of whatever tenant; where several use it, all are listed')
    .option('--tenant <id>', "only this tenant's")
    .option('--key <idempotencyKey>', 'by the idempotency key, with --tenant')
    .option('--at <topic/partition/offset>', 'by the place of one of its records', place)
    .option('--provider-id <id>', "by the provider's own id")
    .option(
      '--since <time>',
      'how far back topics are read: 24h, 7d, or a time',
      pointInTime,
      pointInTime('24h'),
    )
    .option('--show-personal', 'addresses and template values as they are; default masked')
    .option('--verbose', 'whole records')
    .option('--dir <folder>', 'business configuration: its channels have topics', CONFIG_FOLDER)
    .option('--json', 'machine-readable')
    .action(async (messageId: string | undefined, options: Options) => {
      const { kafka, registry, postgres } = cli.environment(['kafka', 'registry', 'postgres']);
      const table = tableOf(businessConfig(options.dir), kafka.prefix).filter(carriesMessages);
      await withAdmin(kafka, () => Promise.resolve());
      const database = openDatabase({
        databaseUrl: postgres.url,
        schema: postgres.schema,
        maxConnections: 3,
      });
      try {
        const wanted = await wantedOf(messageId, options, database, kafka.prefix);
        const traces = await withCodecs(registry, table, (codecs) =>
          withBar(cli, async (onProgress) => {
            const reading = {
              settings: rdkafkaConnection(kafka),
              codecs,
              table,
              since: options.since,
              onProgress,
            };
            const began = Date.now();
            const inTopics = await search(reading, wanted);
            const found = withKnown(inTopics, await knownOf(wanted, inTopics, database));
            const inTables = await Promise.all(found.map((one) => tablesOf(one, database)));
            const complete = await withReceipts(
              await lookAgain(reading, found, began),
              reading,
              database,
            );
            return complete.map((one, index) =>
              traceOf(one, inTables[index] ?? [], kafka.prefix, options.showPersonal === true),
            );
          }),
        );
        if (options.json === true) cli.printJson(traces);
        else report(cli, traces, options);
        if (traces.length === 0) throw new Unsuccessful();
      } finally {
        await database.close();
      }
    });

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const carriesMessages = ({ record, name }: TopicSpec): boolean => {
  switch (record) {
    case 'MessageRequest':
    case 'MessageDeduped':
    case 'BudgetReserved':
    case 'MessageRouted':
    case 'Parked':
    case 'DeliveryFeedback':
    case 'ProviderReceipt':
    case 'MessageRefused':
      return true;
    case 'ChannelWindow':
    case 'BreakerLevel':
    case 'BreakerCommand':
    case 'ConfigEntry':
    case 'AccountLevel':
      return false;
    case null:
      return name.endsWith('dead-letters');
  }
};

const wantedOf = async (
  messageId: string | undefined,
  options: Options,
  database: Database,
  prefix: string,
): Promise<Wanted> => {
  const { tenant, key, at, providerId } = options;
  const ways = [messageId, key, at, providerId].filter((way) => way !== undefined).length;
  if (ways !== 1)
    throw new UsageError('name the message in one way: its id, --key, --at or --provider-id');
  if (messageId !== undefined)
    return {
      messageId: messageId.toLowerCase(),
      ...(tenant !== undefined && { tenantId: tenant }),
    };
  if (key !== undefined) {
    if (tenant === undefined) throw new UsageError("--key needs --tenant: keys are a tenant's own");
    return { tenantId: tenant, idempotencyKey: key };
  }
  if (at !== undefined)
    return { at: { ...at, topic: at.topic.startsWith(prefix) ? at.topic : prefix + at.topic } };
  const providerMessageId = providerId ?? '';
  return { providerMessageId, known: await messagesBy(database, { providerMessageId }) };
};

/**
 * Messages that the tables may know although the topics have lost them. By a bare message id they are looked for only
 * where the topics have nothing: the tables' keys begin with the tenant.
 */
const knownOf = async (
  wanted: Wanted,
  found: readonly Found[],
  database: Database,
): Promise<Awaited<ReturnType<typeof messagesBy>>> => {
  if ('known' in wanted) return wanted.known;
  if (!('messageId' in wanted) || found.length > 0 || !UUID.test(wanted.messageId)) return [];
  const { messageId, tenantId } = wanted;
  const known = await messagesBy(database, { messageId });
  return known.filter((one) => tenantId === undefined || one.tenantId === tenantId);
};

const withKnown = (
  found: readonly Found[],
  known: Awaited<ReturnType<typeof knownOf>>,
): readonly Found[] => [
  ...found,
  ...known
    .filter(
      ({ tenantId, messageId }) =>
        !found.some((one) => one.tenantId === tenantId && one.messageId === messageId),
    )
    .map((one) => ({ ...one, records: [] })),
];

/** Receipts that carry only a provider's id, with the message that the id is of. */
const withReceipts = async (
  found: readonly Found[],
  reading: SearchOptions,
  database: Database,
): Promise<readonly Found[]> => {
  const complete: Found[] = [];
  for (const one of found) {
    const known = UUID.test(one.messageId) ? await providerReferences(database, one) : [];
    const receipts = await receiptsByProviderId(
      reading,
      one.messageId === NO_MESSAGE ? [] : [...known, ...referencesIn(one.records)],
    );
    complete.push({ ...one, records: [...one.records, ...receipts] });
  }
  return complete;
};

const withBar = async <T>(
  cli: Cli,
  run: (onProgress: SearchOptions['onProgress']) => Promise<T>,
): Promise<T> => {
  if (!cli.watched) return run(() => undefined);
  const bar = new cliProgress.SingleBar({
    format: 'reading {bar} {value}/{total}',
    clearOnComplete: true,
    stream: process.stderr,
  });
  bar.start(1, 0);
  try {
    return await run((read, atMost) => {
      bar.setTotal(atMost);
      bar.update(read);
    });
  } finally {
    bar.stop();
  }
};

const tablesOf = (one: Found, database: Database): Promise<readonly TraceEvent[]> =>
  UUID.test(one.messageId) ? tableEvents(database, one) : Promise.resolve([]);

const traceOf = (
  { tenantId, messageId, records }: Found,
  fromTables: readonly TraceEvent[],
  prefix: string,
  showPersonal: boolean,
): Trace => {
  const fromTopics = records.map((record) => eventOf(record, prefix));
  const events = inOrder([...fromTopics, ...fromTables]);
  return {
    tenantId,
    messageId,
    events: showPersonal
      ? events
      : events.map((event) => ({ ...event, detail: masked(event.detail) })),
  };
};

const placeText = (event: TraceEvent): string =>
  'table' in event.where
    ? `table ${event.where.table}`
    : `${event.where.partition}/${event.where.offset}`;

const report = (cli: Cli, traces: readonly Trace[], options: Options): void => {
  if (traces.length === 0) {
    cli.print(
      `Nothing found since ${new Date(options.since).toISOString()}. Further back: --since 7d. Is TOPIC_PREFIX right?`,
    );
    return;
  }
  if (traces.length > 1)
    cli.print(
      `${traces.length} messages: ${traces.map((one) => `${one.tenantId} ${one.messageId}`).join(', ')}\n`,
    );
  for (const { tenantId, messageId, events } of traces) {
    cli.print(pc.bold(`${tenantId} ${messageId}`));
    const width = Math.max(...events.map((event) => event.what.length));
    for (const event of events) {
      const time = new Date(event.at).toISOString().slice(0, 23).replace('T', ' ');
      cli.print(
        `${time}  ${event.what.padEnd(width)}  ${event.summary}  ${pc.dim(placeText(event))}`,
      );
      if (options.verbose === true)
        cli.print(
          JSON.stringify(
            event.detail,
            (_, value: unknown) => (typeof value === 'bigint' ? value.toString() : value),
            2,
          ),
        );
    }
    cli.print('');
  }
};
