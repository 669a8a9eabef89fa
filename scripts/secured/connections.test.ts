import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { schemaRegistry } from '../../schemas/registry.js';
import { influxQl } from '../../sinks/influx/influxql.js';
import { levelPoint } from '../../sinks/influx/points.js';
import { scratchBucket } from '../../sinks/influx/scratch-bucket.js';
import { writePoints } from '../../sinks/influx/write-points.js';
import { migrate } from '../../sinks/postgres/migrate.js';
import { openDatabase } from '../../sinks/postgres/pool.js';
import { lockSlots } from '../../sinks/postgres/slot-lock.js';
import { connectRedis, refuseRefusal } from '../../sinks/redis/client.js';
import { readEnvironment } from '../../topologies/config.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import { diagnoseKafka } from '../../topologies/kafka-refusal.js';
import { partitionCounts } from '../../topologies/runtime/metadata.js';
import { withAdmin } from '../cli/kafka-admin.js';
import type { Variables } from '../installation/installation.js';
import type { SecuredWorld } from './world.js';
import { SECRETS, startSecuredWorld } from './world.js';

/** "Within seconds", on a machine that is busy. */
const SECONDS = 10_000;
const WRONG = 'canary-wrong';

let world: SecuredWorld;
beforeAll(async () => {
  world = await startSecuredWorld(true);
}, 120_000);
afterAll(() => world.stop(), 60_000);

type Use = (variables: Variables) => Promise<unknown>;

const kafka: Use = async (variables) => {
  const environment = readEnvironment(variables, ['kafka']).kafka;
  await withAdmin(environment, (admin) => admin.describeCluster());
};
const worker: Use = async (variables) => {
  const environment = readEnvironment(variables, ['kafka']).kafka;
  await partitionCounts(rdkafkaConnection(environment)).catch(async (error: unknown) => {
    throw (await diagnoseKafka(environment)) ?? error;
  });
};
const registry: Use = async (variables) => {
  const client = schemaRegistry(readEnvironment(variables, ['registry']).registry);
  await client.latest('nobody').finally(() => client.close());
};
const pool: Use = async (variables) => {
  const { postgres } = readEnvironment(variables, ['postgres']);
  const database = openDatabase({ databaseUrl: postgres.url, maxConnections: 1 });
  const text = 'select ssl from pg_stat_ssl where pid = pg_backend_pid()';
  const rows = await database.query({ name: 'ssl', text }).finally(() => database.close());
  expect(rows).toEqual([{ ssl: true }]);
};
const slots: Use = async (variables) => {
  const { postgres } = readEnvironment(variables, ['postgres']);
  const lock = await lockSlots(postgres.url, ['a'], () => undefined);
  await lock.release();
};
const migrations: Use = async (variables) => {
  const { postgres } = readEnvironment(variables, ['postgres']);
  await migrate(postgres.url, 'secured');
};
const redis: Use = async (variables) => {
  const client = connectRedis(readEnvironment(variables, ['redis']).redis);
  try {
    await refuseRefusal(client);
    expect(await client.ping()).toBe('PONG');
  } finally {
    client.disconnect();
  }
};
const query: Use = (variables) =>
  influxQl(readEnvironment(variables, ['influx']).influx)('SHOW MEASUREMENTS LIMIT 1');
const write: Use = async (variables) => {
  const bucket = await scratchBucket();
  try {
    const { influx } = readEnvironment(variables, ['influx']);
    await writePoints({ ...influx, bucket: bucket.bucket })([
      levelPoint({ scope: 'global', level: 0, cause: 'test', at: 1 } as never),
    ]);
    const [series] = await influxQl(bucket)('SELECT level FROM breaker_level');
    expect(series?.values).toHaveLength(1);
  } finally {
    await bucket.drop();
  }
};

/** The message with which it fails, and that it does so in time. */
const refusalOf = async (run: () => Promise<unknown>): Promise<string> => {
  const started = Date.now();
  const error: unknown = await run().then(
    () => new Error('it was accepted'),
    (thrown: unknown) => thrown,
  );
  expect(Date.now() - started).toBeLessThan(SECONDS);
  expect(error).toMatchObject({ name: 'PipelineError', verdict: 'stop' });
  const { message } = error as Error;
  for (const secret of [...Object.values(SECRETS), ...world.kafka.passwords, WRONG])
    expect(message).not.toContain(secret);
  return message;
};

describe.each([
  { of: 'kafka', client: 'administration', use: kafka, secret: 'KAFKA_SASL_PASSWORD' },
  { of: 'kafka', client: 'a worker', use: worker, secret: 'KAFKA_SASL_PASSWORD' },
  { of: 'registry', client: 'registry', use: registry, secret: 'SCHEMA_REGISTRY_PASSWORD' },
  { of: 'postgres', client: 'pool', use: pool, secret: 'DATABASE_PASSWORD' },
  { of: 'postgres', client: 'slots', use: slots, secret: 'DATABASE_PASSWORD' },
  { of: 'postgres', client: 'migrations', use: migrations, secret: 'DATABASE_PASSWORD' },
  { of: 'redis', client: 'redis', use: redis, secret: 'REDIS_PASSWORD' },
  { of: 'influx', client: 'queries', use: query, secret: 'INFLUX_TOKEN' },
  { of: 'influx', client: 'writes', use: write, secret: 'INFLUX_TOKEN' },
] as const)('$of, as $client, with TLS and credentials', ({ of, use, secret }) => {
  const variables = (changes: Variables = {}): Variables => ({
    ...world.variables[of],
    ...changes,
  });
  const ca = (): string =>
    Object.keys(world.variables[of]).find((name) => name.endsWith('_CA_LOCATION')) ?? '';

  test('works', async () => {
    await use(variables());
  });

  test('a wrong password is told with its variable', async () => {
    const wrong = variables({ [`${secret}_FILE`]: '', [secret]: WRONG });
    expect(await refusalOf(() => use(wrong))).toContain(secret);
  });

  test('an unknown authority is told with its variable', async () => {
    const message = await refusalOf(() => use(variables({ [ca()]: world.otherAuthority })));
    expect(message).toContain('no authority that we trust');
    expect(message).toContain(ca());
  });

  test('an expired certificate is called so', async () => {
    const message = await refusalOf(() => use(variables(world.expired[of])));
    expect(message).toContain('has expired');
    expect(message).toContain(ca());
  });

  test('an authority that cannot be read is told before any connection', async () => {
    const absent = path.join(world.folder, 'absent.pem');
    // Not awaited before: reading the environment throws at once.
    const message = await refusalOf(async () => {
      await use(variables({ [ca()]: absent }));
    });
    expect(message).toContain(`${ca()} cannot be read`);
  });
});
