import { readdirSync } from 'node:fs';
import { Redis } from 'ioredis';
import { fetch } from 'undici';
import { DEDUPE_SPAN_MS } from '../../processors/dedupe/span.js';
import type { PipelineError } from '../../schemas/error.js';
import { openDatabase } from '../../sinks/postgres/pool.js';
import { migrationsFolder } from '../../sinks/postgres/sql-files.js';
import { influxError } from '../../sinks/influx/influx-error.js';
import { databaseOf, dispatcherOf } from '../../sinks/influx/settings.js';
import { influxQl } from '../../sinks/influx/influxql.js';
import { redisTls } from '../../sinks/redis/client.js';
import { redisError } from '../../sinks/redis/redis-error.js';
import { emptySince, markerOf } from '../../sinks/redis/wholeness.js';
import type { Environment } from '../../topologies/config.js';
import type { Finding } from './finding.js';
import { bad, good, note, timed } from './finding.js';
import { skewFinding } from './skew.js';

export const postgresFindings = async ({
  url,
  schema,
}: Environment['postgres']): Promise<readonly Finding[]> => {
  const database = openDatabase({ databaseUrl: url, schema, maxConnections: 1 });
  try {
    const before = Date.now();
    const { result, ms } = await timed(() =>
      database.query<{ version: string; now: Date }>({
        name: 'doctor-now',
        text: `select current_setting('server_version') as version, clock_timestamp() as now`,
      }),
    );
    const after = Date.now();
    const [row] = result;
    if (row === undefined)
      return [bad('postgres', 'it answers without a row', 'check DATABASE_URL')];
    const tables = await database.query<{ found: boolean }>({
      name: 'doctor-tables',
      text: `select to_regclass('migrations') is not null as found`,
    });
    const done = tables[0]?.found === true ? await migrated(database) : [];
    const missing = readdirSync(migrationsFolder())
      .map((file) => file.replace(/\.sql$/, ''))
      .filter((name) => !done.includes(name));
    return [
      good('postgres', `${row.version}, ${ms} ms`),
      skewFinding('Postgres', row.now.getTime(), before, after),
      missing.length === 0
        ? good('postgres', `tables of this release in schema ${schema}`)
        : bad(
            'postgres',
            `schema ${schema} lacks ${missing.join(', ')}`,
            'run millrace config apply',
          ),
    ];
  } finally {
    await database.close();
  }
};

const migrated = async (database: ReturnType<typeof openDatabase>): Promise<readonly string[]> =>
  (
    await database.query<{ name: string }>({
      name: 'doctor-migrations',
      text: 'select name from migrations',
    })
  ).map(({ name }) => name);

const CONNECT_MS = 2_000;

/** What is wrong is told by event; connect() only finds the connection closed. @throws PipelineError */
const connectOrSay = async (redis: Redis): Promise<void> => {
  const troubles: PipelineError[] = [];
  redis.on('error', (cause: Error) => {
    troubles.push(redisError(cause));
  });
  try {
    await redis.connect();
    await redis.ping();
  } catch (thrown) {
    throw troubles[0] ?? redisError(thrown);
  }
};

/** What dedupe lost: workers keep since when Redis holds every key (sinks/redis/wholeness.ts). */
const lossFindings = async (redis: Redis, prefix: string): Promise<readonly Finding[]> => {
  const marker = await redis.get(markerOf(prefix));
  // Before the first batch of a new installation, or after a loss that no worker has met yet.
  if (marker === null)
    return [
      note(
        'redis',
        'it holds nothing of this installation',
        'as it should be before the first message; else run millrace rebuild redis',
      ),
    ];
  const since = emptySince(Number(marker), DEDUPE_SPAN_MS, Date.now());
  return since === null
    ? []
    : [
        bad(
          'redis',
          `it was empty at ${new Date(since).toISOString()}: repeats of what came before pass on another partition or lane`,
          'run millrace rebuild redis',
        ),
      ];
};

export const redisFindings = async (
  options: Environment['redis'],
  prefix: string,
): Promise<readonly Finding[]> => {
  const redis = new Redis(options.url, {
    ...redisTls(options),
    lazyConnect: true,
    connectTimeout: CONNECT_MS,
    commandTimeout: CONNECT_MS,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  try {
    await connectOrSay(redis);
    const before = Date.now();
    const { result: time, ms } = await timed(() => redis.time());
    const after = Date.now();
    const info = await redis.info();
    const field = (name: string) => new RegExp(`^${name}:(.*)$`, 'm').exec(info)?.[1]?.trim();
    const policy = field('maxmemory_policy') ?? '';
    return [
      good('redis', `${field('redis_version') ?? 'unknown version'}, ${ms} ms`),
      skewFinding(
        'Redis',
        Number(time[0]) * 1_000 + Math.floor(Number(time[1]) / 1_000),
        before,
        after,
      ),
      ...(policy === '' || policy === 'noeviction' || policy.startsWith('volatile')
        ? []
        : [
            note(
              'redis',
              `maxmemory-policy is ${policy}: full, it forgets keys, and duplicates across partitions pass`,
              'set maxmemory-policy noeviction',
            ),
          ]),
      ...(await lossFindings(redis, prefix)),
    ];
  } finally {
    redis.disconnect();
  }
};

export const influxFindings = async (
  influx: Environment['influx'],
): Promise<readonly Finding[]> => {
  const dispatcher = dispatcherOf(influx);
  const { result: ping, ms } = await timed(() =>
    fetch(`${influx.url.replace(/\/+$/, '')}/ping`, {
      signal: AbortSignal.timeout(CONNECT_MS),
      ...(dispatcher !== undefined && { dispatcher }),
    }).catch((cause: unknown) => {
      throw influxError('answer a ping', null, cause);
    }),
  );
  const version = ping.headers.get('x-influxdb-version') ?? 'unknown version';
  await influxQl(influx)('SHOW MEASUREMENTS LIMIT 1');
  return [good('influx', `${version}, bucket ${databaseOf(influx.bucket).db}, ${ms} ms`)];
};
