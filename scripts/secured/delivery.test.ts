import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import kafkajs from 'kafkajs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Simulator, startSimulator } from '../../infra/providers/simulator.js';
import { projectRoot } from '../../schemas/root.js';
import { readEnvironment } from '../../topologies/config.js';
import { kafkajsConnection } from '../../topologies/kafka-connection.js';
import { WORKER_GROUPS } from '../../topologies/main.js';
import { readRange } from '../../topologies/runtime/range-reader.js';
import { topicNames } from '../../topologies/topic-names.js';
import { SECRETS as CARRIER_SECRETS } from '../acceptance/fixture.js';
import type { Role } from '../acls/roles.js';
import type { Installation, Variables } from '../installation/installation.js';
import { MILLRACE, connectInstallation } from '../installation/installation.js';
import { until } from '../installation/until.js';
import { WorkerProcess } from '../installation/worker-process.js';
import { freePorts } from './process.js';
import type { SecuredWorld } from './world.js';
import { SECRETS, startSecuredWorld } from './world.js';

const { Kafka, logLevel } = kafkajs;

const MESSAGES = 12;
const PREFIX = 'secured.';
const CANARIES = {
  RECIPIENT_HASH_KEY: 'canary-recipient-hash-key',
  CALLBACK_TOKEN: 'canary-callback-token',
} as const;
const names = topicNames(PREFIX);

let world: SecuredWorld;
let simulator: Simulator;
let base: Variables;
let folder: string;
let reader: Installation;
const workers = new Map<Role, WorkerProcess>();
/** Everything that any command said. */
let said = '';

interface Ended {
  readonly code: number | null;
  /** Both streams. */
  readonly out: string;
  readonly stdout: string;
}

const as = (role: Role): Variables => ({ ...base, ...world.kafka.role(role) });

const millrace = (variables: Variables, ...args: readonly string[]): Promise<Ended> =>
  new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [MILLRACE, ...args],
      { env: variables, timeout: 60_000 },
      (_, stdout, stderr) => {
        said += stdout + stderr;
        resolve({ code: child.exitCode, out: stdout + stderr, stdout });
      },
    );
  });

const done = async (variables: Variables, ...args: readonly string[]): Promise<string> => {
  const { code, out } = await millrace(variables, ...args);
  expect(code, `millrace ${args.join(' ')}: ${out}`).toBe(0);
  return out;
};

/** The acceptance tests' configuration; sms has receipts, so that there is a callback. */
const configure = (url: string): string => {
  const from = path.join(projectRoot(), 'scripts', 'acceptance', 'config');
  const to = path.join(world.folder, 'config');
  mkdirSync(to);
  for (const file of readdirSync(from))
    writeFileSync(
      path.join(to, file),
      readFileSync(path.join(from, file), 'utf8')
        .replaceAll('http://simulator.invalid', url)
        .replaceAll('RUN', 'secured')
        .replace(/(adapter: aliyun-sms[^-]*?receipts: )false/, '$1true'),
    );
  return to;
};

let callbackPort = 0;

beforeAll(async () => {
  world = await startSecuredWorld(false);
  simulator = await startSimulator({
    port: 0,
    seed: '1',
    keys: {
      accessKeyId: CARRIER_SECRETS.ALIYUN_ACCESS_KEY_ID,
      accessKeySecret: CARRIER_SECRETS.ALIYUN_ACCESS_KEY_SECRET,
    },
    webhookSecret: CARRIER_SECRETS.WEBHOOK_SECRET,
  });
  folder = configure(simulator.url);
  [callbackPort = 0] = await freePorts(1);
  const { registry, postgres, redis, influx } = world.variables;
  base = {
    PATH: process.env['PATH'] ?? '',
    ...CARRIER_SECRETS,
    ...CANARIES,
    ...registry,
    ...postgres,
    ...redis,
    ...influx,
    TOPIC_PREFIX: PREFIX,
    LOG_LEVEL: 'trace',
    HEALTH_PORT: '0',
    CALLBACK_PORT: '0',
  };
  await done({ ...base, ...world.kafka.administrator }, 'acls', 'apply', '--dir', folder);
  await done(as('operator'), 'topics', 'apply', '--dir', folder);
  await done(as('operator'), 'schemas', 'register', '--dir', folder);
  await done(as('operator'), 'config', 'apply', '--dir', folder);
  reader = await connectInstallation('secured', as('reader'));
  // One after the other: a worker gives Kafka five seconds, and five that start at once share two processors.
  for (const group of WORKER_GROUPS) {
    const variables = {
      ...as(group),
      CALLBACK_PORT: group === 'settle' ? String(callbackPort) : '0',
    };
    workers.set(group, await WorkerProcess.start(variables, ['--only', group]));
  }
}, 240_000);

afterAll(async () => {
  await Promise.all([...workers.values()].map((worker) => worker.stop()));
  await reader.close();
  await simulator.close();
  await world.stop();
}, 120_000);

/** @throws with its last words, where one has ended by itself: a right that it lacks ends it. */
const allAlive = (): void => {
  for (const [group, worker] of workers)
    if (!worker.alive) throw new Error(`${group} has ended: ${worker.log.slice(-2_000)}`);
};

const workerOf = (group: Role): WorkerProcess => {
  const worker = workers.get(group);
  if (worker === undefined) throw new Error(`no worker runs ${group}`);
  return worker;
};

/** Records of a topic, as a principal that may read it. */
const count = async (client: Installation['client'], topic: string): Promise<number> => {
  let records = 0;
  for await (const batch of readRange({ settings: client, topics: [topic] }))
    records += batch.length;
  return records;
};

describe('with SASL, TLS and access rules on, each role as its own principal', () => {
  test('messages go from the producer to their ends, through all stages', async () => {
    await done(as('producer'), 'produce', '--count', String(MESSAGES), '--clean', '--dir', folder);
    await until('feedback on every message', 60_000, async () => {
      allAlive();
      const feedback = await count(reader.client, reader.names.feedback);
      return feedback + (await count(reader.client, reader.names.refused)) >= MESSAGES;
    });
    await until('windows', 60_000, async () => {
      allAlive();
      return (await count(reader.client, names.windows)) > 0;
    });
    await until('settled attempts', 60_000, async () => {
      allAlive();
      const [row] = await reader.database.query<{ n: bigint }>({
        name: 'attempts',
        text: 'select count(*) as n from attempts',
      });
      return (row?.n ?? 0n) > 0n;
    });
    for (const [group, worker] of workers)
      expect([group, await worker.readiness()]).toMatchObject([group, { status: 'ready' }]);
  }, 150_000);

  test('the operator looks at everything: status, doctor', async () => {
    await done(as('operator'), 'status', '--dir', folder);
    const { stdout } = await millrace(as('operator'), 'doctor', '--dir', folder, '--json');
    const findings = JSON.parse(stdout) as { state: string; what: string }[];
    expect(findings.filter(({ state }) => state === 'bad')).toEqual([]);
  }, 90_000);

  test('a second acls apply adds nothing', async () => {
    const variables = { ...base, ...world.kafka.administrator };
    expect(await done(variables, 'acls', 'apply', '--dir', folder)).toMatch(/^0 rules added/m);
  }, 60_000);
});

const clientOf = (role: Role) =>
  new Kafka({
    ...kafkajsConnection(readEnvironment(as(role), ['kafka']).kafka),
    logLevel: logLevel.NOTHING,
    retry: { retries: 0 },
  });

/** Kafka's own name for an error; kafkajs wraps it when it stops trying. */
const typeOf = (thrown: unknown): unknown => {
  for (let error = thrown; error instanceof Error; error = error.cause) {
    const { type } = error as { readonly type?: unknown };
    if (type !== undefined) return type;
  }
  return thrown;
};

/** Kafka's name for why a write was refused; null where it was taken. */
const writeRefusal = async (role: Role, topic: string): Promise<unknown> => {
  const producer = clientOf(role).producer({ allowAutoTopicCreation: false });
  await producer.connect();
  try {
    await producer.send({ topic, messages: [{ key: 'not-allowed', value: null }] });
    return null;
  } catch (error) {
    return typeOf(error);
  } finally {
    await producer.disconnect();
  }
};

/** The same of a read, by a group that the role may have. */
const readRefusal = async (role: Role, topic: string, groupId: string): Promise<unknown> => {
  const consumer = clientOf(role).consumer({ groupId, allowAutoTopicCreation: false });
  await consumer.connect();
  try {
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    return await new Promise((resolve, reject) => {
      consumer.on('consumer.crash', ({ payload }) => {
        // It was given records: kafkajs has no lz4 to unpack them with.
        resolve(payload.error.name === 'KafkaJSNotImplemented' ? null : typeOf(payload.error));
      });
      consumer
        .run({
          autoCommit: false,
          eachBatch: () => {
            resolve(null);
            return Promise.resolve();
          },
        })
        .catch(reject);
    });
  } catch (error) {
    return typeOf(error);
  } finally {
    await consumer.disconnect();
  }
};

const NOT_ALLOWED = 'TOPIC_AUTHORIZATION_FAILED';

describe('a role cannot do what it needs not', () => {
  test('a producer writes requests, and reads none', async () => {
    expect(await readRefusal('producer', names.feedback, `${PREFIX}results.a`)).toBeNull();
    expect(await readRefusal('producer', names.ingest('p1'), `${PREFIX}results.b`)).toBe(
      NOT_ALLOWED,
    );
  }, 60_000);

  test.each<{ role: Role; topic: string }>([
    { role: 'producer', topic: names.feedback },
    { role: 'reader', topic: names.feedback },
    { role: 'intake', topic: names.feedback },
    { role: 'intake', topic: names.ingest('p0') },
    { role: 'send', topic: names.ingest('p0') },
    { role: 'windows', topic: names.feedback },
    { role: 'settle', topic: names.routed('sms', 'p0') },
    { role: 'operator', topic: names.feedback },
  ])(
    '$role cannot write $topic',
    async ({ role, topic }) => {
      expect(await writeRefusal(role, topic)).toBe(NOT_ALLOWED);
    },
    60_000,
  );

  test.each<Role>(['reader', 'settle', 'windows'])(
    '%s reads no personal data',
    async (role) => {
      const group = role === 'reader' ? `${PREFIX}readers.a` : `${PREFIX}millrace.${role}`;
      for (const topic of [names.ingest('p1'), names.routed('sms', 'p1')])
        expect(await readRefusal(role, topic, group)).toBe(NOT_ALLOWED);
    },
    60_000,
  );

  test('a worker under the wrong principal ends at once, and says why', async () => {
    const started = Date.now();
    const { code, out } = await millrace(as('windows'), 'run', '--only', 'intake');
    expect(code, out).toBe(1);
    expect(Date.now() - started).toBeLessThan(20_000);
    expect(out).toContain('millrace acls apply');
  }, 60_000);
});

describe('carriers push their receipts', () => {
  const push = async (suffix: string): Promise<number> => {
    const url = `http://127.0.0.1:${callbackPort}/receipts/sms-secured${suffix}`;
    return (await fetch(url, { method: 'POST', body: '[]' })).status;
  };
  test('with the token, and not without', async () => {
    expect(await push('')).toBe(404);
    expect(await push('/wrong')).toBe(404);
    expect(await push(`/${CANARIES.CALLBACK_TOKEN}`)).toBe(200);
  });
});

test('no secret is in any log, error, finding or metric', async () => {
  const wrong = {
    ...as('operator'),
    KAFKA_SASL_PASSWORD_FILE: '',
    KAFKA_SASL_PASSWORD: 'canary-wrong',
    SCHEMA_REGISTRY_PASSWORD: 'canary-wrong',
    DATABASE_PASSWORD_FILE: '',
    DATABASE_PASSWORD: 'canary-wrong',
    REDIS_PASSWORD: 'canary-wrong',
    INFLUX_TOKEN: 'canary-wrong',
    MILLRACE_DEBUG: '1',
  };
  for (const command of [['doctor', '--dir', folder], ['status', '--dir', folder], ['run']])
    expect((await millrace(wrong, ...command)).code).toBe(1);
  const malformed = {
    ...wrong,
    CALLBACK_TOKEN: 'canary wrong',
    RECIPIENT_HASH_KEY: 'canary-short',
  };
  expect((await millrace(malformed, 'run')).code).toBe(1);
  const metrics = await Promise.all([...workers.values()].map((worker) => worker.metrics()));
  const logs = [...workers.values()].map((worker) => worker.log);
  const all = [said, ...metrics, ...logs].join('\n');
  expect(workerOf('intake').log.split('\n').length).toBeGreaterThan(5);
  for (const name of ['KAFKA_SASL', 'SCHEMA_REGISTRY', 'DATABASE', 'REDIS'])
    expect(said).toContain(`${name}_PASSWORD`);
  const secrets = [
    ...Object.values(SECRETS),
    ...Object.values(SECRETS).map(encodeURIComponent),
    ...Object.values(CANARIES),
    CARRIER_SECRETS.ALIYUN_ACCESS_KEY_SECRET,
    CARRIER_SECRETS.WEBHOOK_SECRET,
    ...world.kafka.passwords,
    'canary-wrong',
    'canary wrong',
    'canary-short',
  ];
  expect(secrets.filter((secret) => all.includes(secret))).toEqual([]);
}, 120_000);
