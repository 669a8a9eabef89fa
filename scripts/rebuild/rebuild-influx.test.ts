import { afterAll, beforeAll, expect, test } from 'vitest';
import { tenantId } from '../../schemas/brand.js';
import type { ChannelWindow } from '../../schemas/generated/records.js';
import { channelWindowWriter } from '../../sinks/influx/channel-windows.js';
import { readWindows } from '../../sinks/influx/read-windows.js';
import type { ScratchBucket } from '../../sinks/influx/scratch-bucket.js';
import { scratchBucket } from '../../sinks/influx/scratch-bucket.js';
import { RequestProducer } from '../produce/request-producer.js';
import { commandLine } from '../testing/command-line.js';
import type { ScratchInstallation } from '../testing/scratch-installation.js';
import { scratchInstallation } from '../testing/scratch-installation.js';

const WINDOW_MS = 300_000;
const WINDOWS = 400;
/** Ends now: buckets drop what is older than their retention. */
const START = Math.floor(Date.now() / WINDOW_MS) * WINDOW_MS - WINDOWS * WINDOW_MS;

const aWindow = (index: number, change: Partial<ChannelWindow> = {}): ChannelWindow => ({
  series: 'channel',
  channel: 'sms',
  provider: 'aliyun',
  lane: 'p1',
  tenantId: null,
  windowStart: START + index * WINDOW_MS,
  windowMs: WINDOW_MS,
  revision: 1,
  complete: true,
  attempts: 100 + index,
  messages: 95,
  accepted: 90,
  delivered: 80,
  failedRecipient: 1,
  failedContent: 2,
  failedAccount: 3,
  failedProvider: 4,
  throttled: 5,
  timeout: 6,
  unknown: 7,
  reversed: 8,
  costMicros: 4_050_000n,
  units: 90,
  errorRate: 0.13,
  latencyP50Ms: 1,
  latencyP95Ms: 2,
  latencyP99Ms: 3,
  latencyMaxMs: 4,
  queueAgeP99Ms: 5,
  closedAt: START,
  ...change,
});

let own: ScratchInstallation;
let bucket: ScratchBucket;
let millrace: ReturnType<typeof commandLine>;
const figures = (said: { readonly json: () => unknown }) =>
  (said.json() as { readonly figures: Record<string, number> }).figures;

beforeAll(async () => {
  bucket = await scratchBucket();
  own = await scratchInstallation(
    ({ name }, names) => name === names.windows || name === names.breakerLevels,
  );
  millrace = commandLine({ ...own.variables, INFLUX_BUCKET: bucket.bucket });
  const codec = own.codecs.of('ChannelWindow', own.names.windows);
  const producer = await RequestProducer.open(own.kafka, () => undefined);
  const send = (window: ChannelWindow) =>
    producer.send({
      topic: own.names.windows,
      key: String(window.windowStart),
      value: codec.encode(window),
    });
  for (let index = 0; index < WINDOWS; index += 1) {
    await send(aWindow(index));
    // Every tenth was corrected later.
    if (index % 10 === 0) await send(aWindow(index, { revision: 2, attempts: 1_000 + index }));
  }
  await send(
    aWindow(0, { series: 'tenant', provider: null, lane: null, tenantId: tenantId('acme') }),
  );
  await producer.settle();
  await producer.close();
});
afterAll(async () => {
  await own.remove();
  await bucket.drop();
});

test('windows that InfluxDB lost are counted, written in their last revision, and checked; a higher revision stays', async () => {
  // It still has the first ten: one of them older than the topic says, one newer.
  await channelWindowWriter(bucket)([
    ...[1, 2, 3, 4, 5, 6, 7, 8].map((index) => aWindow(index)),
    aWindow(0, { revision: 1 }),
    aWindow(9, { revision: 7, attempts: 7 }),
  ]);
  const dry = await millrace('rebuild', 'influx', '--json');
  expect(dry).toMatchObject({ code: 0, err: '' });
  const found = figures(dry);
  expect(found['read']).toBe(WINDOWS + WINDOWS / 10 + 1);
  const { missing = 0, older = 0, current = 0, superseded = 0 } = found;
  expect(missing + older + current + superseded).toBe(found['read']);
  expect(missing).toBeGreaterThanOrEqual(WINDOWS - 10 + 1);
  expect(older).toBe(1);
  expect(await readWindows(bucket, START)).toHaveLength(10);

  const done = await millrace('rebuild', 'influx', '--reason', 'disk full', '--apply', '--json');
  expect(done).toMatchObject({ code: 0, err: '' });
  expect(figures(done)).toMatchObject({ wrong: 0, older: 1 });
  const stored = await readWindows(bucket, START);
  expect(stored.map((one) => [one.windowStart, one.revision, one.attempts])).toEqual(
    Array.from({ length: WINDOWS }, (_, index) => [
      START + index * WINDOW_MS,
      index === 9 ? 7 : index % 10 === 0 ? 2 : 1,
      index === 9 ? 7 : (index % 10 === 0 ? 1_000 : 100) + index,
    ]),
  );
  expect(figures(await millrace('rebuild', 'influx', '--json'))).toMatchObject({
    missing: 0,
    older: 0,
  });
});

test('a range without windows is said, not done', async () => {
  const said = await millrace(
    'rebuild',
    'influx',
    '--since',
    '2099-01-01',
    '--reason',
    'x',
    '--apply',
  );
  expect(said.code).toBe(1);
  expect(said.err).toContain('hold nothing since 2099');
});

test('InfluxDB away ends it with its name, and it is recorded as failed', async () => {
  const away = commandLine({ ...own.variables, INFLUX_URL: 'http://127.0.0.1:1' });
  const said = await away('rebuild', 'influx', '--reason', 'x', '--apply');
  expect(said.code).toBe(1);
  expect(said.err).toContain('INFLUX_URL');
  const [action] = (await millrace('actions', '--json')).json() as readonly object[];
  expect(action).toMatchObject({ command: 'rebuild influx', state: 'failed' });
});
