import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { MessageRequest } from '../../schemas/generated/records.js';
import { LANES } from '../../schemas/generated/records.js';
import { type ScratchBucket, scratchBucket } from '../../sinks/influx/scratch-bucket.js';
import { databaseOf } from '../../sinks/influx/settings.js';
import { endsOf } from '../acceptance/accounting.js';
import { type Carriers, startCarriers } from '../acceptance/carriers.js';
import { configFolder, installAcceptance, writeAll } from '../acceptance/fixture.js';
import { Outcomes } from '../acceptance/outcomes.js';
import { TcpProxy } from '../acceptance/tcp-proxy.js';
import { Traffic } from '../acceptance/traffic.js';
import type { Installation } from '../installation/installation.js';
import { until } from '../installation/until.js';
import { type Readiness, WorkerProcess } from '../installation/worker-process.js';
import { commandLine } from '../testing/command-line.js';
import { type OwnRedis, startOwnRedis } from '../testing/own-redis.js';
import { typed } from '../testing/documented.js';

const CHANNELS = ['app_push', 'sms'];
const DEADLINE_MS = 60_000;
/** More than what is waited for in a test, whose own deadlines say what did not come. */
const TEST_MS = 600_000;
/** Trips on few attempts, and recovers in seconds. */
const BREAKER = `level1:
  tripErrorRate: 0.2
  tripMinAttempts: 10
  recoverErrorRate: 0.1
  recoverWindows: 1
  recoverMinProbes: 2
  minRateFactor: 0.25
  stuckAfterMs: 4000
heartbeatMs: 1000
`;

/** The acceptance tests' configuration with that breaker. */
const edit = (file: string, text: string): string => (file === 'breaker.yaml' ? BREAKER : text);

let installation: Installation;
let redis: OwnRedis;
let bucket: ScratchBucket;
let postgres: TcpProxy;
let carriers: Carriers;
let worker: WorkerProcess;
let outcomes: Outcomes;
let traffic: Traffic;
/** As an operator's shell has them. */
let environment: Readonly<Record<string, string | undefined>>;

beforeAll(async () => {
  [carriers, redis, bucket] = await Promise.all([
    startCarriers(),
    startOwnRedis(),
    scratchBucket(),
  ]);
  postgres = await TcpProxy.to(String(process.env['DATABASE_URL']));
  installation = await installAcceptance('runbooks', {
    simulatorUrl: carriers.simulator.url,
    variables: { REDIS_URL: redis.url, INFLUX_BUCKET: bucket.bucket },
    // As the table has it: doctor finds nothing wrong.
    partitions: 4,
    edit,
  });
  environment = {
    ...installation.variables,
    CONFIG: configFolder(installation.id, carriers.simulator.url, edit),
    DATABASE_URL: postgres.through(installation.environment.postgres.url),
  };
  outcomes = await Outcomes.follow(installation);
  traffic = await Traffic.open(installation);
  worker = await WorkerProcess.start(
    { ...installation.variables, DATABASE_URL: String(environment['DATABASE_URL']) },
    [],
  );
}, 180_000);

/** One test's failure must not be the next one's. */
afterEach(async () => {
  postgres.restore();
  await traffic.pause();
});
afterAll(async () => {
  await worker.stop();
  await traffic.close();
  await outcomes.close();
  await postgres.close();
  await carriers.simulator.close();
  await installation.remove();
  await bucket.drop();
  await redis.stop();
}, 120_000);

const misses = (dependency: string, says: string) => (readiness: Readiness | null) =>
  readiness?.missing[dependency]?.detail.includes(says) === true;
const well = (readiness: Readiness | null): boolean => readiness?.status === 'ready';
const sent = (requests: readonly MessageRequest[]) => (): boolean =>
  endsOf(outcomes, requests).accepted.length === requests.length;
const written = async (count: number): Promise<readonly MessageRequest[]> => {
  const requests = await traffic.write(count, CHANNELS);
  await outcomes.until('messages to be sent', sent(requests));
  return requests;
};
/** A figure of a report: the number before its words. */
const figure = (said: string, words: string): number =>
  Number(new RegExp(`(\\d+)  ${words}`).exec(said)?.[1] ?? 'NaN');

describe('Redis lost', () => {
  test.each(['flush', 'restart'] as const)(
    '%s: found out, nothing delivered twice, rebuilt by the commands of the runbook',
    async (fault) => {
      const before = await written(40);
      await redis[fault]();
      // Half of them once more, as their producer would: same key, same lane.
      const { codecs, names } = installation;
      const repeated = before.slice(0, 20);
      const writes = repeated.map((request, index) => {
        const topic = names.ingest(LANES[index % LANES.length] ?? 'p0');
        const value = codecs.of('MessageRequest', topic).encode(request);
        return { topic, partition: null, key: request.recipient.userId, value };
      });
      await writeAll(installation, writes);
      const refusals = () => repeated.flatMap(({ messageId }) => outcomes.refusals(messageId));
      await outcomes.until('the repeats', () => refusals().length === repeated.length);
      expect(new Set(refusals().map(({ reason }) => reason))).toEqual(new Set(['duplicate']));
      await worker.until(misses('redis', 'run millrace rebuild redis'), DEADLINE_MS);

      const look = await typed('redis-loss', 'redis-loss-look', environment);
      expect(look.said).toMatch(/bad {3}redis {7}it was empty at/);
      expect(figure(look.said, 'keys are missing')).toBeGreaterThan(0);
      const mend = await typed('redis-loss', 'redis-loss-mend', environment);
      expect(mend.code, mend.said).toBe(0);
      expect(mend.said).toContain('checked: all is there');
      const over = await typed('redis-loss', 'redis-loss-over', environment);
      expect(over.code, over.said).toBe(0);
      expect(figure(over.said, 'keys are missing')).toBe(0);
      await worker.until(well, DEADLINE_MS);
    },
    TEST_MS,
  );
});

test(
  'Postgres failed over: intake waits, nothing is lost, and it goes on by itself',
  async () => {
    postgres.cut();
    const meanwhile = await traffic.write(20, CHANNELS);
    await worker.until(misses('postgres', 'Postgres'), DEADLINE_MS);
    const look = await typed('postgres-failover', 'postgres-failover-look', environment);
    expect(look.code).toBe(1);
    expect(look.said).toMatch(/bad {3}postgres/);
    expect(sent(meanwhile)()).toBe(false);
    postgres.restore();
    await outcomes.until('messages to be sent', sent(meanwhile));
    await worker.until(well, DEADLINE_MS);
    const over = await typed('postgres-failover', 'postgres-failover-over', environment);
    expect(over.code, over.said).toBe(0);
    expect(over.said).toContain('tables of this release');
    expect(over.said).toContain('0 of them overdue');
  },
  TEST_MS,
);

test(
  'InfluxDB lost its data: the runbook writes all of it again',
  async () => {
    await written(40);
    const missing = async (): Promise<number> =>
      figure(
        (await typed('influx-backfill', 'influx-backfill-over', environment)).said,
        'windows are missing',
      );
    await until('windows in InfluxDB', DEADLINE_MS, async () => (await missing()) === 0);
    const { db } = databaseOf(bucket.bucket);
    const asked = await fetch(`${bucket.url}/query`, {
      method: 'POST',
      headers: { authorization: `Token ${bucket.token}` },
      body: new URLSearchParams({ q: `DROP DATABASE "${db}"; CREATE DATABASE "${db}"` }),
    });
    expect(asked.status).toBe(200);
    const look = await typed('influx-backfill', 'influx-backfill-look', environment);
    expect(figure(look.said, 'windows are missing')).toBeGreaterThan(0);
    const mend = await typed('influx-backfill', 'influx-backfill-mend', environment);
    expect(mend.code, mend.said).toBe(0);
    expect(await missing()).toBe(0);
  },
  TEST_MS,
);

test(
  'a provider browns out: the breaker slows it, the runbook shows and relieves it, and it recovers',
  async () => {
    const endpoint = `sms-${installation.id}`;
    traffic.flow(30, ['sms']);
    carriers.simulator.control({ endpoint, change: { errors: { 'isp.SYSTEM_ERROR': 0.6 } } });
    const SCOPE = `channel/sms/${endpoint}`;
    const status = (name: string) =>
      typed('provider-brown-out', name, { ...environment, SCOPE, TENANT: 'acme', KEY: key() });
    const key = (): string => traffic.requests.at(0)?.messageId ?? '';
    const scope = new RegExp(`channel/sms/${endpoint}[^\\n]*? ([01])  `);
    const level = (said: string): string | undefined => scope.exec(said)?.[1];
    await until('the breaker', DEADLINE_MS, async () => {
      const { said } = await status('brown-out-look');
      expect(said).toContain(key());
      return level(said) === '1';
    });

    const fewer = (file: string, text: string): string =>
      edit(file, text).replace('concurrency: 64', 'concurrency: 8');
    const relieve = await typed('provider-brown-out', 'brown-out-relieve', {
      ...environment,
      CONFIG: configFolder(installation.id, carriers.simulator.url, fewer),
    });
    expect(relieve.code, relieve.said).toBe(0);
    expect(relieve.said).toContain('concurrency');

    const breaker = (...args: readonly string[]) =>
      commandLine(environment)('breaker', ...args, '--dir', String(environment['CONFIG']));
    expect(await breaker('hold', SCOPE)).toMatchObject({ code: 0, err: '' });
    const unknown = await breaker('hold', 'channel/sms/nobody');
    expect(unknown.code).toBe(1);
    expect(unknown.err).toContain(SCOPE);
    expect(await breaker('set', SCOPE, '--level', '2')).toMatchObject({ code: 2 });
    expect(await breaker('hold', SCOPE, '--apply')).toMatchObject({ code: 2 });
    const held = await status('brown-out-hold');
    expect(held.code, held.said).toBe(0);
    await until('the hold', DEADLINE_MS, async () =>
      (await status('brown-out-look')).said.includes('the provider asked for it'),
    );
    carriers.simulator.control({ endpoint, reset: true });
    const released = await status('brown-out-release');
    expect(released.code, released.said).toBe(0);
    await until('recovery', DEADLINE_MS, async () => {
      const { said } = await status('brown-out-over');
      return level(said) === '0' && said.includes('the provider is well again');
    });
  },
  TEST_MS,
);
