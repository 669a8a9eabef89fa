import type { Command } from 'commander';
import pc from 'picocolors';
import type { BusinessConfig } from '../../schemas/config.js';
import { PipelineError } from '../../schemas/error.js';
import { schemaDrift } from '../../schemas/registration.js';
import { schemaRegistry } from '../../schemas/registry.js';
import { openCodecs } from '../../schemas/topic-codecs.js';
import type { EnvironmentGroup } from '../../topologies/config.js';
import { topicNames } from '../../topologies/topic-names.js';
import { topicSchemas } from '../../topologies/topic-table.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { Unsuccessful } from '../cli/exit.js';
import { CONFIG_FOLDER, businessConfig, tableOf } from '../cli/installation.js';
import { withAdmin } from '../cli/kafka-admin.js';
import { changesOf } from '../config/apply.js';
import { publishedConfig } from '../config/published.js';
import type { Finding } from '../doctor/finding.js';
import { bad, checked, good, note, timed } from '../doctor/finding.js';
import { clusterCopies, copyFindings } from '../doctor/copies.js';
import { brokerClock, brokerFindings, clientFindings } from '../doctor/kafka.js';
import { influxFindings, postgresFindings, redisFindings } from '../doctor/stores.js';
import { clusterTopics, replicationOf } from '../topics/cluster.js';
import { planTopics } from '../topics/plan.js';

interface Options {
  readonly dir: string;
  readonly json?: true;
}

const STACK = 'npm run stack up, or correct';

export const doctor = (cli: Cli): Command =>
  command(
    'doctor',
    'Look at everything an installation needs, and say how to put right what is wrong. Ends with 1 if anything is bad.',
    ['millrace doctor', 'millrace doctor --json | jq \'.[] | select(.state != "good")\''],
  )
    .option('--dir <folder>', 'business configuration', CONFIG_FOLDER)
    .option('--json', 'machine-readable')
    .action(async (options: Options) => {
      const findings = await examine(cli, options.dir);
      if (options.json === true) cli.printJson(findings);
      else for (const finding of findings) print(cli, finding);
      const wrong = findings.filter((finding) => finding.state === 'bad').length;
      if (options.json !== true)
        cli.print(wrong === 0 ? pc.green('All well.') : pc.red(`${wrong} to put right.`));
      if (wrong > 0) throw new Unsuccessful();
    });

const examine = async (cli: Cli, dir: string): Promise<readonly Finding[]> => {
  const environment = await checked('environment', 'set it, then run doctor again', () => {
    cli.environment(['kafka', 'registry', 'postgres', 'redis', 'influx']);
    return Promise.resolve([good('environment', 'connections are set')]);
  });
  const secrets = await checked('environment', 'needed by millrace run only', () => {
    cli.environment(['worker']);
    return Promise.resolve([]);
  });
  const groups = await Promise.all([
    checked('postgres', `${STACK} DATABASE_URL`, () => postgresFindings(one(cli, 'postgres'))),
    checked('redis', `${STACK} REDIS_URL`, () =>
      redisFindings(one(cli, 'redis'), cli.environment(['kafka']).kafka.prefix),
    ),
    checked('influx', `${STACK} INFLUX_URL, INFLUX_TOKEN, INFLUX_BUCKET`, () =>
      influxFindings(one(cli, 'influx')),
    ),
  ]);
  let config: BusinessConfig | undefined;
  const configured = await checked('config', `correct ${dir}`, () => {
    config = businessConfig(dir);
    return Promise.resolve([good('config', `${dir} is valid`)]);
  });
  return [
    good(
      'node',
      `${process.version}, ${process.env['UV_THREADPOOL_SIZE'] ?? '4'} threads for clients`,
    ),
    ...clientFindings(),
    ...environment,
    // A missing RECIPIENT_HASH_KEY stops a worker, and only a worker.
    ...secrets.map((finding) => ({ ...finding, state: 'note' as const })),
    ...groups.flat(),
    ...configured,
    ...(await installation(cli, config)),
  ];
};

const one = <G extends EnvironmentGroup>(cli: Cli, group: G) => cli.environment([group])[group];

/** What can only be looked at once Kafka and the registry answer. */
const installation = async (
  cli: Cli,
  config: BusinessConfig | undefined,
): Promise<readonly Finding[]> => {
  const registryFindings = await checked('registry', `${STACK} SCHEMA_REGISTRY_URL`, () =>
    registryReach(cli),
  );
  const reached = { kafka: false };
  const findings = await checked('kafka', `${STACK} KAFKA_BROKERS`, () => {
    const kafka = one(cli, 'kafka');
    return withAdmin(kafka, async (admin) => {
      reached.kafka = true;
      return [
        ...(await checked('kafka', "check the operator's ACLs: millrace acls print", () =>
          brokerFindings(admin, kafka),
        )),
        ...(config === undefined
          ? []
          : await checked('topics', 'run millrace topics apply', async () =>
              topicFindings(
                planTopics(
                  tableOf(config, kafka.prefix, { replicationFactor: await replicationOf(admin) }),
                  await clusterTopics(
                    admin,
                    tableOf(config, kafka.prefix).map((spec) => spec.name),
                  ),
                ),
              ),
            )),
        ...(await checked('copies', "check the operator's ACLs: millrace acls print", async () =>
          copyFindings(
            await clusterCopies(
              admin,
              (config === undefined ? [] : tableOf(config, kafka.prefix)).map((spec) => spec.name),
            ),
          ),
        )),
        ...(await checked('clock', 'run millrace topics apply, then doctor again', async () =>
          brokerClock(kafka, await admin.listTopics()),
        )),
      ];
    });
  });
  if (config === undefined || registryFindings.some((finding) => finding.state === 'bad'))
    return [...findings, ...registryFindings];
  return [
    ...findings,
    ...registryFindings,
    ...(await checked('schemas', 'run millrace schemas register', () =>
      schemaFindings(cli, config),
    )),
    // Kafka that is away has been named; reading from it would take ten seconds to say the same.
    ...(reached.kafka
      ? await checked('config', 'run millrace config apply', () => publishedFindings(cli, config))
      : []),
  ];
};

const registryReach = async (cli: Cli): Promise<readonly Finding[]> => {
  const address = one(cli, 'registry');
  const registry = schemaRegistry(address);
  try {
    const { ms } = await timed(() => registry.latest('millrace-doctor-asks'));
    return [good('registry', `${new URL(address.url).host}, ${ms} ms`)];
  } finally {
    await registry.close();
  }
};

const topicFindings = (plan: ReturnType<typeof planTopics>): readonly Finding[] => [
  ...(plan.missing.length === 0
    ? []
    : [
        bad(
          'topics',
          `${plan.missing.length} are missing: ${plan.missing
            .slice(0, 3)
            .map((spec) => spec.name)
            .join(', ')}${plan.missing.length > 3 ? ', ...' : ''}`,
          'run millrace topics apply',
        ),
      ]),
  ...plan.drift.map((drift) =>
    bad(
      'topics',
      `${drift.topic}: ${drift.setting} is ${drift.found}, not ${drift.wanted}`,
      'run millrace topics apply --alter',
    ),
  ),
  ...plan.conflicts.map((conflict) =>
    bad(
      'topics',
      `${conflict.topic} has ${conflict.found} partitions, not ${conflict.wanted}`,
      'millrace topics apply says what to do; counts are never changed',
    ),
  ),
  good('topics', `${plan.unchanged.length} as the table says`),
];

const schemaFindings = async (cli: Cli, config: BusinessConfig): Promise<readonly Finding[]> => {
  const topics = topicSchemas(tableOf(config, one(cli, 'kafka').prefix));
  const registry = schemaRegistry(one(cli, 'registry'));
  try {
    const drift = await schemaDrift(registry, topics);
    return [
      ...drift.map(({ subject, detail, fix, found }) =>
        found === 'not-latest'
          ? note('schemas', `${subject}: ${detail}`, fix)
          : bad('schemas', `${subject}: ${detail}`, fix),
      ),
      good('schemas', `${topics.length - drift.length} of ${topics.length} subjects registered`),
    ];
  } finally {
    await registry.close();
  }
};

const publishedFindings = async (cli: Cli, config: BusinessConfig): Promise<readonly Finding[]> => {
  const kafka = one(cli, 'kafka');
  const registry = schemaRegistry(one(cli, 'registry'));
  try {
    const codecs = await openCodecs(registry, [
      { topic: topicNames(kafka.prefix).config, record: 'ConfigEntry' },
    ]);
    const changes = changesOf(config, await publishedConfig(kafka, codecs));
    const absent = changes.filter((change) => change.added).map((change) => change.kind);
    const differing = changes.filter((change) => !change.added).map((change) => change.kind);
    return [
      ...(absent.length === 0
        ? [good('config', 'published')]
        : [bad('config', `not published: ${absent.join(', ')}`, 'run millrace config apply')]),
      ...(differing.length === 0
        ? []
        : [
            note(
              'config',
              `published ${differing.join(', ')} differ from the folder`,
              'millrace config apply --dry-run shows how',
            ),
          ]),
    ];
  } catch (thrown) {
    if (thrown instanceof PipelineError && thrown.code === 'topic_missing')
      return [bad('config', 'not published: its topic is missing', 'run millrace topics apply')];
    throw thrown;
  } finally {
    await registry.close();
  }
};

const MARKS = { good: pc.green('good'), note: pc.yellow('note'), bad: pc.red('bad ') } as const;

const print = (cli: Cli, { area, state, what, fix }: Finding): void => {
  cli.print(`${MARKS[state]}  ${area.padEnd(11)} ${what}`);
  if (fix !== undefined) cli.print(`      ${' '.repeat(11)} ${pc.dim('fix:')} ${fix}`);
};
