import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tenantId } from '../../schemas/brand.js';
import type { BreakerLevel, ChannelWindow } from '../../schemas/generated/records.js';
import type { PartitionSlice, Topic } from '../../schemas/record.js';
import { breakerLevelSink } from './breaker-levels.js';
import { channelWindowSink, channelWindowWriter } from './channel-windows.js';
import { influxQl } from './influxql.js';
import { windowTag } from './points.js';
import { readWindows } from './read-windows.js';
import { type ScratchBucket, scratchBucket } from './scratch-bucket.js';

let bucket: ScratchBucket;
beforeAll(async () => {
  bucket = await scratchBucket();
});
afterAll(async () => {
  await bucket.drop();
});

const START = Date.UTC(2026, 0, 5, 9);

const aWindow = (change: Partial<ChannelWindow> = {}): ChannelWindow => ({
  series: 'channel',
  channel: 'sms',
  provider: 'aliyun',
  lane: 'p1',
  tenantId: null,
  windowStart: START,
  windowMs: 300_000,
  revision: 0,
  complete: true,
  attempts: 100,
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
  // Whole numbers: a float must stay a float on the wire, or the next 1.5 would clash.
  latencyP50Ms: 1,
  latencyP95Ms: 2,
  latencyP99Ms: 3,
  latencyMaxMs: 4,
  queueAgeP99Ms: 5,
  closedAt: START + 330_000,
  ...change,
});

const aTenantWindow = (change: Partial<ChannelWindow> = {}): ChannelWindow =>
  aWindow({ series: 'tenant', provider: null, lane: null, tenantId: tenantId('acme'), ...change });

const topic = <V>(name: string): Topic<V> => ({
  name,
  codec: { encode: () => Buffer.alloc(0), decode: () => ({}) as V },
});

const sliceOf = <V>(values: readonly V[]): PartitionSlice<V> => ({
  topic: 't',
  partition: 0,
  start: 0,
  next: values.length,
  records: values.map((value, offset) => ({
    at: { topic: 't', partition: 0, offset },
    key: null,
    value,
    timestamp: 0,
    headers: {},
    size: 0,
  })),
});

const attempts = async (channel: string): Promise<readonly (readonly [number, number])[]> =>
  (await readWindows(bucket, 0))
    .filter((one) => one.channel === channel)
    .map((one) => [one.attempts, one.revision]);

describe('channel_window', () => {
  test('holds exactly the tags, fields and types of docs/analysts.md', async () => {
    await channelWindowWriter(bucket)([aWindow(), aTenantWindow()]);
    const ask = influxQl(bucket);
    const fields = await ask('SHOW FIELD KEYS');
    const counts = [
      'attempts accepted cost_micros delivered failed_account failed_content failed_provider',
      'failed_recipient messages reversed revision throttled timeout units unknown',
    ]
      .join(' ')
      .split(' ')
      .map((name) => [name, 'integer']);
    const floats = [
      'error_rate',
      'latency_p50_ms',
      'latency_p95_ms',
      'latency_p99_ms',
      'latency_max_ms',
      'queue_age_p99_ms',
    ].map((name) => [name, 'float']);
    const typesOf = (measurement: string) =>
      fields.find(({ name }) => name === measurement)?.values.toSorted();
    expect(typesOf('channel_window')).toEqual([...counts, ...floats].sort());
    expect(typesOf('tenant_window')).toEqual(counts.sort());
    const tags = await ask('SHOW TAG KEYS');
    expect(new Map(tags.map(({ name, values }) => [name, values.flat()]))).toEqual(
      new Map([
        ['channel_window', ['channel', 'lane', 'provider', 'window']],
        ['tenant_window', ['channel', 'tenant', 'window']],
      ]),
    );
  });

  test('reads back what was written, at the start of its window', async () => {
    await channelWindowWriter(bucket)([aWindow({ channel: 'voice', windowMs: 10_000 })]);
    const found = (await readWindows(bucket, START)).filter(({ channel }) => channel === 'voice');
    expect(found).toEqual([
      {
        windowStart: START,
        channel: 'voice',
        provider: 'aliyun',
        lane: 'p1',
        window: '10s',
        attempts: 100,
        messages: 95,
        accepted: 90,
        delivered: 80,
        failed_recipient: 1,
        failed_content: 2,
        failed_account: 3,
        failed_provider: 4,
        throttled: 5,
        timeout: 6,
        unknown: 7,
        reversed: 8,
        revision: 0,
        cost_micros: 4_050_000,
        units: 90,
        error_rate: 0.13,
      },
    ]);
    expect(await readWindows(bucket, START + 1)).toEqual([]);
  });

  test('a lower revision never overwrites a higher one: in one batch, later, or after a restart', async () => {
    const of = (revision: number) =>
      aWindow({ channel: 'revised', revision, attempts: 100 + revision });
    await channelWindowWriter(bucket)([of(1), of(0)]);
    expect(await attempts('revised')).toEqual([[101, 1]]);
    const write = channelWindowWriter(bucket);
    await write([of(0)]);
    expect(await attempts('revised')).toEqual([[101, 1]]);
    await write([of(2)]);
    await write([of(2), of(1)]);
    expect(await attempts('revised')).toEqual([[102, 2]]);
  });

  test('a replay overwrites and adds nothing', async () => {
    const windows = Array.from({ length: 2_500 }, (_, index) =>
      aWindow({ channel: 'replayed', windowStart: START + index * 300_000 }),
    );
    const sink = channelWindowSink(bucket, topic('windows'));
    expect(await sink.write([sliceOf(windows)])).toEqual([]);
    await sink.write([sliceOf(windows.slice(0, 1_200)), sliceOf(windows.slice(1_200))]);
    expect(await attempts('replayed')).toHaveLength(2_500);
  });

  test('names that need escaping stay one tag', async () => {
    await channelWindowWriter(bucket)([aWindow({ channel: 'a b,c=d', provider: 'é"' })]);
    const found = (await readWindows(bucket, 0)).filter(({ channel }) => channel === 'a b,c=d');
    expect(found).toMatchObject([{ provider: 'é"' }]);
  });

  test.each([
    [10_000, '10s'],
    [300_000, '5m'],
    [3_600_000, '1h'],
    [90_000, '90s'],
    [1_500, '1500ms'],
  ])('a length of %i ms is the tag %s', (windowMs, tag) => {
    expect(windowTag(windowMs)).toBe(tag);
  });
});

test('breaker_level holds changes, not heartbeats', async () => {
  const level: BreakerLevel = {
    scope: 'channel/sms/aliyun',
    channel: 'sms',
    provider: 'aliyun',
    level: 1,
    fromLevel: 0,
    rateFactor: 0.5,
    fromRateFactor: 1,
    avoid: true,
    cause: 'error rate 10.0 % "of" 200',
    windowStart: START,
    windowMs: 300_000,
    errorRate: 0.1,
    attempts: 200,
    since: START,
    at: START,
    heartbeat: false,
  };
  const sink = breakerLevelSink(bucket, topic('breaker.levels'));
  await sink.write([sliceOf([level, { ...level, at: START + 10_000, heartbeat: true }])]);
  const [series] = await influxQl(bucket)(
    'SELECT "level", "cause" FROM "breaker_level" GROUP BY *',
  );
  expect(series).toMatchObject({
    tags: { scope: 'channel/sms/aliyun' },
    values: [[START, 1, 'error rate 10.0 % "of" 200']],
  });
});

describe('when InfluxDB cannot be written', () => {
  test('away: the sink waits', async () => {
    const away = channelWindowWriter({ ...bucket, url: 'http://127.0.0.1:9' });
    await expect(away([aWindow()])).rejects.toMatchObject({
      code: 'influx_unavailable',
      verdict: 'retry',
    });
  });

  test.each([
    { status: 503, code: 'influx_unavailable' },
    { status: 429, code: 'influx_unavailable' },
    { status: 401, code: 'influx_refused' },
    { status: 404, code: 'influx_refused' },
  ])('an answer of $status is $code', async ({ status, code }) => {
    const server = createServer((request, response) => {
      const isQuery = request.url?.startsWith('/query') ?? false;
      response.writeHead(isQuery ? 200 : status, { 'content-type': 'application/json' });
      response.end(isQuery ? '{"results":[{}]}' : '{"error":"no"}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    try {
      const write = channelWindowWriter({ ...bucket, url: `http://127.0.0.1:${String(port)}` });
      await expect(write([aWindow()])).rejects.toMatchObject({ code });
    } finally {
      server.close();
    }
  });

  test('hanging: the request ends after its time-out', async () => {
    const server = createServer(() => undefined);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    try {
      const write = channelWindowWriter({
        ...bucket,
        url: `http://127.0.0.1:${String(port)}`,
        timeoutMs: 200,
      });
      await expect(write([aWindow()])).rejects.toMatchObject({ code: 'influx_unavailable' });
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  test('a bucket that does not exist is refused, with what to check', async () => {
    const write = channelWindowWriter({ ...bucket, bucket: 'millrace_test_nowhere/autogen' });
    await expect(write([aWindow()])).rejects.toMatchObject({
      code: 'influx_refused',
      verdict: 'stop',
    });
    await expect(write([aWindow()])).rejects.toThrow(/INFLUX_BUCKET/);
  });

  test('a type that clashes with what is stored is refused, not dropped in silence', async () => {
    const other = await scratchBucket();
    try {
      const response = await fetch(
        `${other.url}/api/v2/write?org=${other.org}&bucket=${other.bucket}&precision=ms`,
        {
          method: 'POST',
          headers: { authorization: `Token ${other.token}` },
          body: `channel_window,channel=sms,provider=aliyun,lane=p1,window=5m attempts=1.5 ${String(START)}`,
        },
      );
      expect(response.status).toBe(204);
      const write = channelWindowWriter(other);
      await expect(write([aWindow()])).rejects.toMatchObject({ code: 'influx_refused' });
      await expect(write([aWindow()])).rejects.toThrow(/type conflict/);
    } finally {
      await other.drop();
    }
  });
});
