import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { schemaRegistry } from '../../schemas/registry.js';
import { projectRoot } from '../../schemas/root.js';
import { type Codecs, openCodecs } from '../../schemas/topic-codecs.js';
import { type Database, openDatabase } from '../../sinks/postgres/pool.js';
import { ENVIRONMENT_GROUPS, type Environment, readEnvironment } from '../../topologies/config.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import { type TopicNames, topicNames } from '../../topologies/topic-names.js';
import { withAdmin } from '../cli/kafka-admin.js';

const run = promisify(execFile);

export type Variables = Readonly<Record<string, string>>;

/** A fresh installation on the running stack: topics under a prefix, tables in a schema, both of its own. */
export interface Installation {
  /** What tells it from all others; its prefix and schema end with it. */
  readonly id: string;
  readonly variables: Variables;
  readonly environment: Environment;
  readonly names: TopicNames;
  readonly codecs: Codecs;
  readonly database: Database;
  readonly client: Record<string, string>;
  /** Lets go of what this process holds; topics and tables stay. */
  readonly close: () => Promise<void>;
  /** Then deletes its topics and tables too. Schemas stay registered: registries forget none for good. */
  readonly remove: () => Promise<void>;
}

export interface InstallationOptions {
  /** The environment with the stack's connections. */
  readonly base: NodeJS.ProcessEnv;
  /** What it is for: prefix `<purpose>-<id>.`, schema `<purpose>_<id>`. */
  readonly purpose: string;
  /** Folder of its business configuration; with the id, where names must be its own. */
  readonly dir: string | ((id: string) => string);
  /** Of each topic; absent: the default. */
  readonly partitions?: number;
  /** More variables, or others, for its workers. */
  readonly variables?: Variables;
}

export const MILLRACE = path.join(projectRoot(), 'scripts', 'millrace.cjs');

/** Makes topics, schemas, tables and configuration as an operator would, with the public commands. */
export const install = async (options: InstallationOptions): Promise<Installation> => {
  const id = randomBytes(3).toString('hex');
  const variables: Variables = {
    ...(options.base as Variables),
    TOPIC_PREFIX: `${options.purpose}-${id}.`,
    DATABASE_SCHEMA: `${options.purpose}_${id}`,
    RECIPIENT_HASH_KEY: 'a key of nobody but this installation',
    LOG_LEVEL: 'warn',
    HEALTH_PORT: '0',
    CALLBACK_PORT: '0',
    ...options.variables,
  };
  const dir = typeof options.dir === 'string' ? options.dir : options.dir(id);
  const partitions =
    options.partitions === undefined ? [] : ['--partitions', options.partitions.toString()];
  const millrace = (...command: readonly string[]) =>
    run(process.execPath, [MILLRACE, ...command, '--dir', dir], { env: variables });
  // Neither needs the other: brokers and registry work at the same time.
  await Promise.all([millrace('topics', 'apply', ...partitions), millrace('schemas', 'register')]);
  await millrace('config', 'apply');
  return connectInstallation(id, variables);
};

/** What is there already, made by whomever. */
export const connectInstallation = async (
  id: string,
  variables: Variables,
): Promise<Installation> => {
  const environment = readEnvironment(variables, ENVIRONMENT_GROUPS);
  const registry = schemaRegistry(environment.registry);
  const names = topicNames(environment.kafka.prefix);
  const codecs = await openCodecs(registry, [
    ...(['p0', 'p1', 'p2', 'p3'] as const).map((lane) => ({
      topic: names.ingest(lane),
      record: 'MessageRequest' as const,
    })),
    { topic: names.feedback, record: 'DeliveryFeedback' },
    { topic: names.refused, record: 'MessageRefused' },
  ]);
  const database = openDatabase({
    databaseUrl: environment.postgres.url,
    schema: environment.postgres.schema,
    maxConnections: 2,
  });
  const close = async (): Promise<void> => {
    await database.close();
    await registry.close();
  };
  return {
    id,
    variables,
    environment,
    names,
    codecs,
    database,
    client: rdkafkaConnection(environment.kafka),
    close,
    remove: async () => {
      await close();
      await withAdmin(environment.kafka, async (admin) => {
        const all = await admin.listTopics();
        const own = all.filter((topic) => topic.startsWith(environment.kafka.prefix));
        await admin.deleteTopics({ topics: own, timeout: 30_000 });
      });
      await dropSchema(environment.postgres);
    },
  };
};

const dropSchema = async ({ url, schema }: Environment['postgres']): Promise<void> => {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(`drop schema if exists ${client.escapeIdentifier(schema)} cascade`);
  } finally {
    await client.end();
  }
};
