import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { promisify } from 'node:util';
import { schemaRegistry } from '../../schemas/registry.js';
import { projectRoot } from '../../schemas/root.js';
import { type Codecs, openCodecs } from '../../schemas/topic-codecs.js';
import { type Database, openDatabase } from '../../sinks/postgres/pool.js';
import { ENVIRONMENT_GROUPS, type Environment, readEnvironment } from '../../topologies/config.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import { type TopicNames, topicNames } from '../../topologies/topic-names.js';

const run = promisify(execFile);

export type Variables = Readonly<Record<string, string>>;

/** A fresh installation for one measurement: topics under a prefix, tables in a schema, both of its own. */
export interface Installation {
  readonly variables: Variables;
  readonly environment: Environment;
  readonly names: TopicNames;
  readonly codecs: Codecs;
  readonly database: Database;
  readonly client: Record<string, string>;
  readonly close: () => Promise<void>;
}

/** Makes topics, schemas, tables and configuration as an operator would, with the public commands. */
export const install = async (base: NodeJS.ProcessEnv): Promise<Installation> => {
  const id = randomBytes(3).toString('hex');
  const variables: Variables = {
    ...(base as Variables),
    TOPIC_PREFIX: `bench-${id}.`,
    DATABASE_SCHEMA: `bench_${id}`,
    RECIPIENT_HASH_KEY: 'benchmarks hash with this',
    LOG_LEVEL: 'warn',
    HEALTH_PORT: '0',
    CALLBACK_PORT: '0',
  };
  const millrace = path.join(projectRoot(), 'scripts', 'millrace.cjs');
  const dir = path.join(projectRoot(), 'scripts', 'bench', 'config');
  for (const command of [
    ['topics', 'apply'],
    ['schemas', 'register'],
    ['config', 'apply'],
  ]) {
    await run(process.execPath, [millrace, ...command, '--dir', dir], { env: variables });
  }
  const environment = readEnvironment(variables, ENVIRONMENT_GROUPS);
  const registry = schemaRegistry(environment.registry);
  const names = topicNames(environment.kafka.prefix);
  const codecs = await openCodecs(registry, [
    ...(['p0', 'p1', 'p2', 'p3'] as const).map((lane) => ({
      topic: names.ingest(lane),
      record: 'MessageRequest' as const,
    })),
    { topic: names.feedback, record: 'DeliveryFeedback' },
  ]);
  const database = openDatabase({
    databaseUrl: environment.postgres.url,
    schema: environment.postgres.schema,
    maxConnections: 2,
  });
  return {
    variables,
    environment,
    names,
    codecs,
    database,
    client: rdkafkaConnection(environment.kafka),
    close: async () => {
      await database.close();
      await registry.close();
    },
  };
};
