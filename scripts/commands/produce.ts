import { readFileSync } from 'node:fs';
import cliProgress from 'cli-progress';
import type { Command } from 'commander';
import { Option } from 'commander';
import { PipelineError, asError } from '../../schemas/error.js';
import type { Lane, MessageRequest } from '../../schemas/generated/records.js';
import { LANES } from '../../schemas/generated/records.js';
import type { Codec } from '../../schemas/record.js';
import { schemaRegistry } from '../../schemas/registry.js';
import { openCodecs } from '../../schemas/topic-codecs.js';
import { topicNames } from '../../topologies/topic-names.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { UsageError, Unsuccessful } from '../cli/exit.js';
import { CONFIG_FOLDER, businessConfig } from '../cli/installation.js';
import { withAdmin } from '../cli/kafka-admin.js';
import { integer, lane, positive } from '../cli/options.js';
import type { InputFormat } from '../produce/input-lines.js';
import { inputRecords } from '../produce/input-lines.js';
import { pacer } from '../produce/pace.js';
import type { Outgoing } from '../produce/request-producer.js';
import { RequestProducer } from '../produce/request-producer.js';
import type { ParsedRequest } from '../produce/request-fields.js';
import { parseRequest } from '../produce/request-fields.js';
import { catalogOf } from '../traffic/catalog.js';
import { CLEAN, REALISTIC, generate } from '../traffic/generate.js';
import { valueOf } from '../traffic/planned.js';

interface Options {
  readonly format?: InputFormat;
  readonly skipInvalid?: true;
  readonly count?: number;
  readonly rate?: number;
  readonly seed: number;
  readonly clean?: true;
  readonly lane?: Lane;
  readonly tenant?: string;
  readonly dir: string;
  readonly json?: true;
}

/** Something to write, and when (ms after the start). */
interface Item extends Outgoing {
  readonly at: number;
}
interface Input {
  readonly total: number;
  readonly items: Iterable<Item>;
}

const SHOWN_ERRORS = 20;

export const produce = (cli: Cli): Command =>
  command(
    'produce',
    'Write requests to ingest.p0..p3: from a file, from stdin (-), or generated ones.',
    [
      'millrace produce requests.ndjson',
      'millrace produce campaign.csv --lane p3',
      `echo '{"tenantId":"acme","businessLine":"orders","templateId":"login-code","recipient":{"userId":"u1","phone":"13800000001"}}' | millrace produce -`,
      'millrace produce --count 10000 --rate 500     # realistic: bursts, duplicates, some malformed, some unaffordable',
      'millrace produce --count 100 --clean --lane p0 --tenant acme',
    ],
  )
    .argument('[file]', 'NDJSON or CSV; - reads stdin')
    .addOption(
      new Option('--format <format>', 'default: by the name, else ndjson').choices([
        'ndjson',
        'csv',
      ]),
    )
    .option('--skip-invalid', 'write the valid records even if others have errors')
    .option(
      '--count <n>',
      'generate so many records instead of reading a file',
      integer(1, 100_000_000),
    )
    .option(
      '--rate <n>',
      'records a second; generated traffic varies around it, up to 2.5 times',
      positive,
    )
    .option(
      '--seed <n>',
      'of generated traffic: the same seed gives the same kinds of records',
      integer(0),
      1,
    )
    .option('--clean', 'generate only records that nothing is wrong with')
    .option(
      '--lane <lane>',
      'p0 (urgent) .. p3 (bulk); files: default p2; generated: default mixed',
      lane,
    )
    .option('--tenant <id>', 'generate for this tenant only')
    .option(
      '--dir <folder>',
      'business configuration that generated traffic is made from',
      CONFIG_FOLDER,
    )
    .option('--json', 'machine-readable')
    .action(async (file: string | undefined, options: Options) => {
      if ((file === undefined) === (options.count === undefined))
        throw new UsageError('give a file, or - for stdin, or --count to generate traffic');
      const { kafka, registry: address } = cli.environment(['kafka', 'registry']);
      const names = topicNames(kafka.prefix);
      await withAdmin(kafka, () => Promise.resolve());
      const registry = schemaRegistry(address);
      try {
        const codecs = await openCodecs(
          registry,
          LANES.map((one) => ({ topic: names.ingest(one), record: 'MessageRequest' })),
        );
        const codecOf = new Map(
          LANES.map((one) => [one, codecs.of('MessageRequest', names.ingest(one))] as const),
        );
        const to: Destination = (one) => {
          const codec = codecOf.get(one);
          if (codec === undefined) throw new Error(`no lane ${one}`);
          return { topic: names.ingest(one), codec };
        };
        const input =
          file === undefined ? generated(options, to) : fromFile(cli, file, options, to);
        await write(cli, input, options, await countingProducer(kafka));
      } finally {
        await registry.close();
      }
    });

type Destination = (lane: Lane) => {
  readonly topic: string;
  readonly codec: Codec<MessageRequest>;
};

const generated = (options: Options, to: Destination): Input => {
  const catalog = catalogOf(businessConfig(options.dir), options.tenant);
  for (const one of options.lane === undefined ? LANES : [options.lane])
    if (!catalog.funded.some((account) => account.lanes.includes(one)))
      throw new UsageError(
        `${options.tenant === undefined ? options.dir : `tenant ${options.tenant}`} has no account with a budget that may use lane ${one} of the shared ingest topics; name another --lane`,
      );
  const total = options.count ?? 0;
  const plan = generate({
    seed: options.seed,
    messages: total,
    startAt: Date.now(),
    durationMs: options.rate === undefined ? 0 : (total / options.rate) * 1_000,
    catalog,
    shares: options.clean === true ? CLEAN : REALISTIC,
    ...(options.lane !== undefined && { lane: options.lane }),
  });
  const items = function* (): Generator<Item> {
    for (const { lane: on, key, payload, at } of plan) {
      const { topic, codec } = to(on);
      yield { topic, key, value: valueOf(payload, codec.encode), at };
    }
  };
  return { total, items: items() };
};

const fromFile = (cli: Cli, file: string, options: Options, to: Destination): Input => {
  let text: string;
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (thrown) {
    throw new UsageError(
      `cannot read ${file === '-' ? 'stdin' : file}: ${asError(thrown).message}`,
    );
  }
  const format = options.format ?? (file.endsWith('.csv') ? 'csv' : 'ndjson');
  const defaults = { lane: options.lane ?? 'p2', now: Date.now() } as const;
  const good: ParsedRequest[] = [];
  const bad: string[] = [];
  for (const record of inputRecords(text, format)) {
    if (record.broken !== undefined) {
      bad.push(`line ${record.line}: ${record.broken}`);
      continue;
    }
    const parsed = parseRequest(record.value, defaults);
    if ('errors' in parsed)
      bad.push(
        ...parsed.errors.map(
          (one) => `line ${record.line}: ${`${one.field} ${one.message}`.trim()}`,
        ),
      );
    else good.push(parsed);
  }
  for (const line of bad.slice(0, SHOWN_ERRORS)) cli.note(line);
  if (bad.length > SHOWN_ERRORS) cli.note(`... and ${bad.length - SHOWN_ERRORS} more`);
  if (bad.length > 0 && options.skipInvalid !== true)
    throw new PipelineError(
      'config_invalid',
      `${bad.length} errors in ${file}; nothing was written. Correct them, or use --skip-invalid to write the other ${good.length}.`,
    );
  if (good.length === 0) throw new UsageError(`${file} has no records`);
  const rate = options.rate;
  return {
    total: good.length,
    items: good.map(({ request, lane: on, key }, index) => {
      const { topic, codec } = to(on);
      return {
        topic,
        key,
        value: codec.encode(request),
        at: rate === undefined ? 0 : (index / rate) * 1_000,
      };
    }),
  };
};

interface Written {
  readonly producer: RequestProducer;
  /** Acknowledged records by topic. */
  readonly counts: ReadonlyMap<string, number>;
}

const countingProducer = async (
  kafka: Parameters<typeof RequestProducer.open>[0],
): Promise<Written> => {
  const counts = new Map<string, number>();
  const producer = await RequestProducer.open(kafka, (_, { topic }) => {
    counts.set(topic, (counts.get(topic) ?? 0) + 1);
  });
  return { producer, counts };
};

const write = async (
  cli: Cli,
  { total, items }: Input,
  options: Options,
  { producer, counts }: Written,
): Promise<void> => {
  const started = Date.now();
  const due = pacer(started);
  const bar =
    cli.watched && options.json !== true
      ? new cliProgress.SingleBar({
          format: 'records {bar} {value}/{total}  {eta_formatted} left',
          clearOnComplete: true,
          stream: process.stderr,
        })
      : undefined;
  bar?.start(total, 0);
  try {
    for (const item of items) {
      await due(item.at);
      await producer.send(item);
      bar?.increment();
    }
    await producer.settle();
  } finally {
    bar?.stop();
    await producer.close();
  }
  const seconds = (Date.now() - started) / 1_000;
  const written = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const perSecond = Math.round(written / Math.max(seconds, 0.001));
  if (options.json === true)
    cli.printJson({ written, topics: Object.fromEntries([...counts].sort()), seconds, perSecond });
  else {
    for (const [topic, count] of [...counts].sort()) cli.print(`${topic}  ${count}`);
    cli.print(`${written} written in ${seconds.toFixed(1)} s, ${perSecond}/s`);
  }
  if (written !== total) throw new Unsuccessful();
};
