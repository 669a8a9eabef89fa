import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { writeFrame } from '../../schemas/frame.js';
import type { MessageRequest } from '../../schemas/generated/records.js';
import { recordSchemas } from '../../schemas/record-schemas.js';
import type { Installation } from '../installation/installation.js';
import { until } from '../installation/until.js';
import { type Readiness, WorkerProcess, isReady } from '../installation/worker-process.js';
import { commandLine } from '../testing/command-line.js';
import { endsOf, expectLedger, expectSaidOnce } from './accounting.js';
import { type Carriers, startCarriers } from './carriers.js';
import { configFolder, installAcceptance, writeAll } from './fixture.js';
import { WINDOWS_DEADLINE_MS, windowSums } from './influx.js';
import { Outcomes } from './outcomes.js';
import { requestOf } from './requests.js';
import { TcpProxy } from './tcp-proxy.js';
import { Traffic } from './traffic.js';

const DEPENDENCIES = ['registry', 'postgres', 'redis', 'influx'] as const;
type Dependency = (typeof DEPENDENCIES)[number];

const CHANNELS = ['app_push', 'sms'];

let installation: Installation;
let carriers: Carriers;
let proxies: Readonly<Record<Dependency, TcpProxy>>;
let worker: WorkerProcess;
let outcomes: Outcomes;
let traffic: Traffic;

beforeAll(async () => {
  carriers = await startCarriers();
  installation = await installAcceptance('dependencies', { simulatorUrl: carriers.simulator.url });
  outcomes = await Outcomes.follow(installation);
  traffic = await Traffic.open(installation);
  const { registry, postgres, redis, influx } = installation.environment;
  const urls = {
    registry: registry.url,
    postgres: postgres.url,
    redis: redis.url,
    influx: influx.url,
  };
  proxies = {
    registry: await TcpProxy.to(urls.registry),
    postgres: await TcpProxy.to(urls.postgres),
    redis: await TcpProxy.to(urls.redis),
    influx: await TcpProxy.to(urls.influx),
  };
  for (const dependency of DEPENDENCIES) proxies[dependency].cut();
  worker = await WorkerProcess.launch(
    {
      ...installation.variables,
      SCHEMA_REGISTRY_URL: proxies.registry.through(urls.registry),
      DATABASE_URL: proxies.postgres.through(urls.postgres),
      REDIS_URL: proxies.redis.through(urls.redis),
      INFLUX_URL: proxies.influx.through(urls.influx),
    },
    [],
  );
}, 180_000);

afterAll(async () => {
  const ending = await worker.stop();
  await traffic.close();
  await outcomes.close();
  await Promise.all(DEPENDENCIES.map((dependency) => proxies[dependency].close()));
  await carriers.simulator.close();
  await installation.remove();
  expect(ending, worker.log.slice(-4_000)).toEqual({ code: 0, signal: null });
}, 120_000);

/** One test's failure must not be the next one's. */
afterEach(() => traffic.pause());

const misses =
  (dependency: Dependency, state: 'waiting' | 'degraded') => (readiness: Readiness | null) =>
    readiness?.missing[dependency]?.state === state &&
    (state === 'degraded' || readiness.status === 'waiting');

const missesNothing = (readiness: Readiness | null): boolean => readiness?.status === 'ready';

const statusCode = async (): Promise<number> => (await fetch(`${worker.url}/readyz`)).status;

const sent = (requests: readonly MessageRequest[]) => (): boolean =>
  endsOf(outcomes, requests).accepted.length === requests.length;

describe('away at the start', () => {
  test('the registry is waited for and named', async () => {
    await worker.until(misses('registry', 'waiting'));
    expect(await statusCode()).toBe(503);
    expect((await fetch(`${worker.url}/healthz`)).status).toBe(200);
    proxies.registry.restore();
  });

  test('then Postgres is waited for and named', async () => {
    await worker.until(misses('postgres', 'waiting'));
    expect(await statusCode()).toBe(503);
    proxies.postgres.restore();
    await worker.until(isReady);
  });

  test('without Redis and InfluxDB it sends, degraded, and says so', async () => {
    const requests = await traffic.write(40, CHANNELS);
    await outcomes.until('messages to be sent', sent(requests));
    await worker.until(
      (readiness) =>
        misses('redis', 'degraded')(readiness) && misses('influx', 'degraded')(readiness),
    );
    expect(await statusCode()).toBe(200);
  }, 90_000);

  test('once they are back Redis lacks what passed without it, until the command that readiness names has run', async () => {
    proxies.redis.restore();
    proxies.influx.restore();
    traffic.flow(20, CHANNELS);
    await worker.until(
      (readiness) =>
        readiness?.missing['influx'] === undefined &&
        readiness?.missing['redis']?.detail.includes('run millrace rebuild redis') === true,
    );
    const dir = configFolder(installation.id, carriers.simulator.url, (_file, text) => text);
    const said = await commandLine(installation.variables)(
      ...['rebuild', 'redis', '--reason', 'it was away', '--apply', '--dir', dir],
    );
    expect(said).toMatchObject({ code: 0, err: '' });
    await worker.until(missesNothing);
  }, 90_000);
});

describe('away in the middle of traffic', () => {
  afterEach(() => {
    for (const dependency of DEPENDENCIES) proxies[dependency].restore();
  });

  test('Postgres: the worker waits, and what came meanwhile is sent once it is back', async () => {
    traffic.flow(40, CHANNELS);
    proxies.postgres.cut();
    await worker.until(misses('postgres', 'waiting'));
    expect(await statusCode()).toBe(503);
    const meanwhile = await traffic.write(40, CHANNELS);
    expect(sent(meanwhile)()).toBe(false);
    proxies.postgres.restore();
    await outcomes.until('messages to be sent', sent(meanwhile));
    await worker.until(missesNothing);
  }, 90_000);

  test('after that its slot is still its own', async () => {
    const other = await WorkerProcess.launch(installation.variables, []);
    await other.until(isReady, 30_000).catch(() => undefined);
    const ending = await other.stop();
    expect(ending, other.log.slice(-2_000)).toEqual({ code: 1, signal: null });
    expect(other.log).toMatch(/slot 0 is held by another worker/);
  }, 60_000);

  test.each(['cut', 'hang'] as const)(
    'Redis, its connections %s: messages go on; those that repeat an id are still found out',
    async (how) => {
      traffic.flow(40, CHANNELS);
      proxies.redis[how]();
      await worker.until(misses('redis', 'degraded'));
      expect(await statusCode()).toBe(200);
      const meanwhile = await traffic.write(40, CHANNELS);
      const [first] = meanwhile;
      if (first === undefined) throw new Error('nothing written');
      await outcomes.until('messages to be sent without Redis', sent(meanwhile));
      const topic = installation.names.ingest('p3');
      const value = installation.codecs.of('MessageRequest', topic).encode(first);
      await writeAll(installation, [{ topic, partition: null, key: 'again', value }]);
      const refusals = () => outcomes.refusals(first.messageId);
      await outcomes.until('the duplicate', () => refusals().length === 1);
      expect(refusals()[0]).toMatchObject({
        reason: 'duplicate',
        firstMessageId: first.messageId,
      });
      proxies.redis.restore();
      await worker.until(missesNothing);
    },
    90_000,
  );

  test.each(['cut', 'hang'] as const)(
    'InfluxDB, its connections %s: nothing else is slower',
    async (how) => {
      traffic.flow(40, CHANNELS);
      proxies.influx[how]();
      await worker.until(misses('influx', 'degraded'));
      expect(await statusCode()).toBe(200);
      const meanwhile = await traffic.write(40, CHANNELS);
      await outcomes.until('messages to be sent without InfluxDB', sent(meanwhile), 10_000);
      proxies.influx.restore();
      await worker.until(missesNothing);
    },
    90_000,
  );

  test('the registry, when a schema comes that nobody has seen: its lane waits, the others do not', async () => {
    const topic = installation.names.ingest('p0');
    const value = Buffer.from(installation.codecs.of('MessageRequest', topic).encode(requestOf()));
    writeFrame(value, await registerAsJavaWould(`${topic}-value`));
    proxies.registry.cut();
    await writeAll(installation, [{ topic, partition: null, key: 'java', value }]);
    await worker.until(misses('registry', 'waiting'));
    const onP0 = await traffic.write(10, CHANNELS, ['p0']);
    const elsewhere = await traffic.write(30, CHANNELS, ['p1', 'p2', 'p3']);
    await outcomes.until('the other lanes', sent(elsewhere));
    expect(sent(onP0)()).toBe(false);
    proxies.registry.restore();
    await outcomes.until('the lane that waited', sent(onP0));
    await worker.until(missesNothing);
    // One more than our own: the one in Java's words.
    extra += 1;
  }, 90_000);
});

/** Messages that are not the traffic's. */
let extra = 0;

describe('after all that', () => {
  test('each message has one end, each was asked of its carrier once, and the ledger agrees', async () => {
    const { requests } = traffic;
    await outcomes.until('all messages to be sent', sent(requests));
    expectSaidOnce(outcomes.feedback);
    // Those that tests wrote on purpose.
    expect(outcomes.refused.map(({ value }) => value.reason)).toEqual(['duplicate', 'duplicate']);
    const ends = endsOf(outcomes, requests);
    expect(ends.open).toEqual([]);
    expect(ends.held).toEqual([]);
    const more = Array.from({ length: extra }, () => requestOf());
    await expectLedger(installation, { ...ends, accepted: [...ends.accepted, ...more] });
    const asked = await carriers.asked();
    const bySms = requests.filter(({ channels }) => channels[0] === 'sms');
    expect(asked).toHaveLength(bySms.length);
    expect(asked.filter(({ nth }) => nth > 1)).toEqual([]);
    expect(outcomes.deadLetters).toEqual([]);
  }, 90_000);

  test('and the windows in InfluxDB count them all', async () => {
    const all = traffic.requests.length + extra;
    let sums = { messages: 0, accepted: 0 };
    await until('the windows', WINDOWS_DEADLINE_MS, async () => {
      sums = await windowSums(installation, ['messages', 'accepted']);
      // InfluxDB reads each field by itself: a point that is written meanwhile may show one and not the other yet.
      return sums.messages >= all && sums.accepted >= all;
    }).catch(() => undefined);
    expect(sums).toEqual({ messages: all, accepted: all });
  }, 60_000);
});

/** Our own schema with another id: canonically the same, as Java's Avro registers it. */
const registerAsJavaWould = async (subject: string): Promise<number> => {
  const schema = recordSchemas()
    .textOf('MessageRequest')
    .replaceAll('"string"', '{"type":"string","avro.java.string":"String"}');
  const { url } = installation.environment.registry;
  const response = await fetch(`${url}/subjects/${subject}/versions`, {
    method: 'POST',
    headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
    body: JSON.stringify({ schema }),
  });
  const { id } = (await response.json()) as { readonly id?: number };
  if (id === undefined) throw new Error(`${subject} takes no schema of Java's`);
  return id;
};
