import pg from 'pg';
import { fetch } from 'undici';
import type { BusinessConfig } from '../../schemas/config.js';
import { CONFIG_KINDS } from '../../schemas/config.js';
import type { Codecs } from '../../schemas/topic-codecs.js';
import { databaseOf, dispatcherOf } from '../../sinks/influx/settings.js';
import type { Environment } from '../../topologies/config.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import { topicSchemas } from '../../topologies/topic-table.js';
import { tableOf } from '../cli/installation.js';
import { withAdmin } from '../cli/kafka-admin.js';
import { applyLedger, publishConfig } from '../config/apply.js';
import { createTopics, replicationOf } from '../topics/cluster.js';
import { registerAll } from '../topics/register-all.js';
import type { SchemaRegistry } from '../../schemas/registry.js';
import { openCodecs } from '../../schemas/topic-codecs.js';
import type { ClientSettings } from '../../topologies/runtime/rdkafka-client.js';

/** What one run of the demo has to itself: a topic prefix and a database; an InfluxDB database where it is 1.x. */
export interface DemoInstallation {
  readonly table: readonly TopicSpec[];
  readonly codecs: Codecs;
  readonly settings: ClientSettings;
}

/** A database of the server that the URL names. */
export const databaseUrl = (url: string, database: string): string => {
  const address = new URL(url);
  address.pathname = `/${database}`;
  return address.toString();
};

/** Only InfluxDB 1.x buckets are named db/rp; there anyone may make a database. Elsewhere the bucket is shared. */
export const influxBucket = (bucket: string, run: string): string =>
  bucket.includes('/') ? `${run}/autogen` : bucket;

const onServer = async (url: string, statement: string): Promise<void> => {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 3_000 });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
};

const influxStatement = async (influx: Environment['influx'], statement: string): Promise<void> => {
  const { url, token } = influx;
  const dispatcher = dispatcherOf(influx);
  const answer = await fetch(`${url.replace(/\/+$/, '')}/query`, {
    method: 'POST',
    headers: { authorization: `Token ${token}` },
    body: new URLSearchParams({ q: statement }),
    signal: AbortSignal.timeout(10_000),
    ...(dispatcher !== undefined && { dispatcher }),
  });
  if (!answer.ok) throw new Error(`InfluxDB answers ${answer.status} to ${statement}`);
};

type DemoEnvironment = Pick<Environment, 'kafka' | 'postgres' | 'influx'>;

/** Makes topics, schemas, accounts and configuration of a run. `environment` is the run's own, `server` the given one. */
export const install = async (
  environment: DemoEnvironment,
  server: DemoEnvironment,
  registry: SchemaRegistry,
  config: BusinessConfig,
): Promise<DemoInstallation> => {
  const { kafka, postgres, influx } = environment;
  const database = new URL(postgres.url).pathname.slice(1);
  const table = await withAdmin(kafka, async (admin) => {
    const wanted = tableOf(config, kafka.prefix, { replicationFactor: await replicationOf(admin) });
    await createTopics(admin, wanted, () => undefined);
    return wanted;
  });
  await onServer(server.postgres.url, `create database ${database}`);
  if (influx.bucket !== server.influx.bucket)
    await influxStatement(influx, `CREATE DATABASE "${databaseOf(influx.bucket).db}"`);
  await registerAll(registry, topicSchemas(table));
  const codecs = await openCodecs(registry, topicSchemas(table));
  await applyLedger(postgres, config);
  await publishConfig(kafka, codecs, config, CONFIG_KINDS);
  return { table, codecs, settings: rdkafkaConnection(kafka) };
};

/** Takes it all away again. What cannot be removed is left, and named. */
export const uninstall = async (
  environment: DemoEnvironment,
  server: DemoEnvironment,
  table: readonly TopicSpec[],
): Promise<readonly string[]> => {
  const { kafka, postgres, influx } = environment;
  const left: string[] = [];
  const attempt = async (what: string, run: () => Promise<unknown>) => {
    await run().catch(() => {
      left.push(what);
    });
  };
  await attempt(`topics ${kafka.prefix}*`, () =>
    withAdmin(kafka, (admin) =>
      admin.deleteTopics({ topics: table.map((spec) => spec.name), timeout: 30_000 }),
    ),
  );
  const database = new URL(postgres.url).pathname.slice(1);
  await attempt(`database ${database}`, () =>
    onServer(server.postgres.url, `drop database if exists ${database} with (force)`),
  );
  if (influx.bucket !== server.influx.bucket)
    await attempt(`InfluxDB database ${databaseOf(influx.bucket).db}`, () =>
      influxStatement(influx, `DROP DATABASE "${databaseOf(influx.bucket).db}"`),
    );
  return left;
};
