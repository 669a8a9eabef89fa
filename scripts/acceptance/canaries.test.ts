import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { messageId, tenantId } from '../../schemas/brand.js';
import { writeFrame } from '../../schemas/frame.js';
import type { MessageRequest } from '../../schemas/generated/records.js';
import { connectRedis } from '../../sinks/redis/client.js';
import type { RawRecord } from '../../topologies/runtime/raw-record.js';
import { withAdmin } from '../cli/kafka-admin.js';
import type { Installation } from '../installation/installation.js';
import { until } from '../installation/until.js';
import { WorkerProcess } from '../installation/worker-process.js';
import { type Carriers, startCarriers } from './carriers.js';
import { installAcceptance, writeAll } from './fixture.js';
import { WINDOWS_DEADLINE_MS, windowSums } from './influx.js';
import { Outcomes, everything } from './outcomes.js';
import { recipientOf, requestOf } from './requests.js';

/** Planted in every request, readable or not, and looked for everywhere. */
const CANARIES = {
  phone: '+8613977700001',
  email: 'canary.of.mine@canary.example',
  code: 'canary-code-909112',
  pushToken: 'canary-token-77aa31',
  openId: 'canary-open-id-5f',
  userId: 'canary-user-0042',
} as const;

/** Where personal data may lie: requests, what embeds them on their way, what could not be read, our own state. */
const MAY_HOLD = /^(ingest|deduped|reserved|routed|retry|parked|again|dead-letters|internal)\b/;

let installation: Installation;
let carriers: Carriers;
let outcomes: Outcomes;
let worker: WorkerProcess;

beforeAll(async () => {
  carriers = await startCarriers();
  installation = await installAcceptance('canaries', {
    simulatorUrl: carriers.simulator.url,
    variables: { LOG_LEVEL: 'trace' },
  });
  outcomes = await Outcomes.follow(installation);
  worker = await WorkerProcess.start(installation.variables, []);
  await plant();
}, 240_000);

afterAll(async () => {
  await worker.stop();
  await outcomes.close();
  await carriers.simulator.close();
  await installation.remove();
}, 120_000);

const planted = (changes: Partial<MessageRequest> = {}): MessageRequest =>
  requestOf({
    recipient: recipientOf({
      userId: CANARIES.userId,
      phone: CANARIES.phone,
      email: CANARIES.email,
      openId: CANARIES.openId,
      pushTokens: [CANARIES.pushToken],
    }),
    params: { name: CANARIES.email, code: CANARIES.code },
    ...changes,
  });

/** Requests by how they end; each carries all canaries. */
const requests = (): readonly MessageRequest[] => {
  const now = Date.now();
  return [
    ...['app_push', 'sms', 'webhook', 'email'].map((channel) => planted({ channels: [channel] })),
    planted({ messageId: messageId('no-uuid') }),
    planted({ units: 0 }),
    planted({ labels: { long: 'x'.repeat(300) } }),
    planted({ templateId: 'nothing' }),
    planted({ tenantId: tenantId('nobody') }),
    planted({ businessLine: 'nothing' }),
    planted({ tenantId: tenantId('hooli'), businessLine: 'no-cash' }),
    planted({ tenantId: tenantId('hooli'), businessLine: 'no-units' }),
    planted({ channels: ['pigeon'] }),
    planted({ createdAt: now - 2 * 86_400_000 }),
    planted({ notBefore: now + 3_600_000 }),
    planted({ params: { name: CANARIES.email.repeat(4_000), code: CANARIES.code } }),
  ];
};

/** Values that cannot be read, and say so next to a canary. */
const unreadable = (encode: (request: MessageRequest) => Buffer): readonly Buffer[] => {
  const whole = encode(planted());
  const unknownSchema = Buffer.from(whole);
  writeFrame(unknownSchema, 0x7ffffffd);
  // A length that runs past the end, and one that is negative, right before a canary.
  const broken = (length: number): Buffer => {
    const bytes = Buffer.from(whole);
    bytes[bytes.indexOf(CANARIES.phone) - 1] = length;
    return bytes;
  };
  return [
    Buffer.from(JSON.stringify({ recipient: { phone: CANARIES.phone, email: CANARIES.email } })),
    Buffer.from(`${CANARIES.phone},${CANARIES.code}`),
    whole.subarray(0, whole.indexOf(CANARIES.code) + 3),
    Buffer.concat([whole, Buffer.from(CANARIES.phone)]),
    unknownSchema,
    broken(0x7e),
    broken(0x01),
  ];
};

const plant = async (): Promise<void> => {
  const { names, codecs } = installation;
  const topic = names.ingest('p1');
  const encode = (request: MessageRequest): Buffer =>
    codecs.of('MessageRequest', topic).encode(request);
  const send = (values: readonly Buffer[]): Promise<void> =>
    writeAll(
      installation,
      values.map((value) => ({ topic, partition: null, key: 'an opaque key', value })),
    );
  const endpoint = (name: string): string => `${name}-${installation.id}`;
  const all = requests();
  const first = all[0] ?? planted();
  const conflict = { ...first, params: { name: CANARIES.email, code: `${CANARIES.code}-other` } };
  const bad = unreadable(encode);
  let wanted = 0;
  const ended = async (count: number, what: string): Promise<void> => {
    wanted += count;
    await outcomes.until(what, () => outcomes.count >= wanted);
  };
  await send(all.map(encode));
  await ended(all.length, 'good and invalid requests');
  await send([encode(first), encode(conflict), ...bad]);
  await ended(2 + bad.length, 'repeated and unreadable ones');
  // Carriers that refuse, in their own words and by HTTP, and one that never answers.
  const { simulator } = carriers;
  simulator.control({
    endpoint: endpoint('sms'),
    change: { errors: { 'isv.MOBILE_NUMBER_ILLEGAL': 1 } },
  });
  simulator.control({ endpoint: `webhook/${endpoint('acme')}`, change: { errors: { '410': 1 } } });
  await send(['sms', 'webhook'].map((channel) => encode(planted({ channels: [channel] }))));
  await ended(2, 'failed ones');
  simulator.control({ endpoint: endpoint('sms'), change: { errors: {}, outage: 'reset' } });
  await send([encode(planted({ channels: ['sms'] }))]);
  await ended(1, 'an ambiguous one');
};

const found = (text: string | Buffer): readonly string[] =>
  Object.values(CANARIES).filter((canary) => text.includes(canary));

const inRecord = ({ key, value, headers }: RawRecord): readonly string[] =>
  [key, value, ...Object.values(headers)].flatMap((part) => (part === null ? [] : found(part)));

const ownTopics = async (): Promise<readonly string[]> => {
  const { kafka } = installation.environment;
  return withAdmin(kafka, async (admin) =>
    (await admin.listTopics()).filter((topic) => topic.startsWith(kafka.prefix)),
  );
};

describe('personal data stays where it belongs', () => {
  test('it came in, and all kinds of ends were met: what follows looks for something', async () => {
    const records = await everything(installation, [
      installation.names.ingest('p1'),
      installation.names.deadLetters,
    ]);
    expect(new Set(records.flatMap(inRecord))).toEqual(new Set(Object.values(CANARIES)));
    expect(new Set(outcomes.refused.map(({ value }) => value.reason)).size).toBeGreaterThan(9);
    expect(new Set(outcomes.feedback.map(({ value }) => value.state))).toEqual(
      new Set(['accepted', 'failed', 'held']),
    );
    expect(outcomes.deadLetters.length).toBeGreaterThan(5);
    expect(outcomes.parked).toHaveLength(1);
  });

  test('in no topic that outsiders read', async () => {
    const { prefix } = installation.environment.kafka;
    const topics = (await ownTopics()).filter(
      (topic) => !MAY_HOLD.test(topic.slice(prefix.length)),
    );
    expect(topics).toContain(`${prefix}feedback`);
    expect(topics).toContain(`${prefix}windows`);
    const leaks = (await everything(installation, topics, 'read_uncommitted')).flatMap((record) =>
      inRecord(record).map((canary) => `${record.at.topic}: ${canary}`),
    );
    expect(leaks).toEqual([]);
  });

  test('in no header of a dead letter that we wrote', () => {
    const leaks = outcomes.deadLetters.flatMap(({ headers }) =>
      Object.entries(headers).flatMap(([name, value]) =>
        found(value).map((canary) => `${name}: ${canary}`),
      ),
    );
    expect(leaks).toEqual([]);
  });

  test('in no log, however much is logged', () => {
    const lines = worker.log.split('\n');
    expect(lines.length).toBeGreaterThan(20);
    expect(lines.filter((line) => found(line).length > 0)).toEqual([]);
  });

  test('in no metric', async () => {
    const metrics = await worker.metrics();
    expect(metrics).toContain('millrace_');
    expect(found(metrics)).toEqual([]);
  });

  test('in no table of Postgres', async () => {
    const { database, environment } = installation;
    const tables = await database.query<{ name: string }>({
      name: 'own-tables',
      text: `select quote_ident(tablename) as name from pg_tables where schemaname = '${environment.postgres.schema}'`,
    });
    const names = tables.map(({ name }) => name);
    expect(names).toContain('attempts');
    for (const name of names) {
      const rows = await database.query<{ text: string }>({
        name: `text-of-${name}`,
        text: `select t::text as text from ${name} t`,
      });
      expect(rows.flatMap(({ text }) => found(text).map((canary) => `${name}: ${canary}`))).toEqual(
        [],
      );
    }
  });

  test('in no key and no value of Redis', async () => {
    const redis = connectRedis({ url: installation.environment.redis.url });
    await redis.connect();
    try {
      const keys: Buffer[] = [];
      const match = `${installation.environment.kafka.prefix}*`;
      for (let cursor = '0'; ;) {
        const [next, some] = await redis.scanBuffer(cursor, 'MATCH', match, 'COUNT', 1_000);
        keys.push(...some);
        cursor = next.toString();
        if (cursor === '0') break;
      }
      expect(keys.length).toBeGreaterThan(0);
      for (const key of keys) {
        expect(found(key)).toEqual([]);
        expect(found((await redis.getBuffer(key)) ?? '')).toEqual([]);
      }
    } finally {
      redis.disconnect();
    }
  });

  test('in no series of InfluxDB', async () => {
    await until(
      'windows',
      WINDOWS_DEADLINE_MS,
      async () => (await windowSums(installation, ['messages'])).messages > 0,
    );
    const { url, token, bucket } = installation.environment.influx;
    const [db = '', rp = ''] = bucket.split('/');
    for (const q of ['show series', 'show tag values with key =~ /.*/']) {
      const parameters = new URLSearchParams({ db, rp, q });
      const response = await fetch(`${url}/query?${parameters.toString()}`, {
        headers: { authorization: `Token ${token}` },
      });
      expect(found(await response.text())).toEqual([]);
    }
  });
});
