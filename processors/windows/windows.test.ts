import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { tenantId } from '../../schemas/brand.js';
import { answer } from '../testing/feedback.js';
import type { EpochMs } from '../../schemas/brand.js';
import type {
  ChannelWindow,
  ConfigEntry,
  DeliveryFeedback,
  Lane,
} from '../../schemas/generated/records.js';
import { internalJson } from '../../schemas/internal-codec.js';
import type { Topic } from '../../schemas/record.js';
import { TestDriver } from '../../topologies/testing/driver.js';
import { type Stage, stage, topology } from '../../topologies/topology.js';
import type { Decision, View } from '../processor.js';
import { addCounts, countFeedback, noCounts } from './counts.js';
import { windowMerge } from './merge.js';
import type { WindowPartial } from './partial.js';
import { type WindowPartials, windowPartials } from './partials.js';
import { mergingCodec, openCodec, partialsCodec } from './window-codec.js';

const topic = <V>(name: string): Topic<V> => ({
  name,
  codec: internalJson<V>({ writes: 1, reads: 1 }),
});

const PARTITIONS = 3;
const LENGTH_MS = 10_000;
const GRACE_MS = 2_000;
const SILENCE_MS = 30_000;
const RETENTION_MS = 60_000;

const feedback = topic<DeliveryFeedback>('feedback');
const partials: Topic<WindowPartial> = { name: 'partials', codec: partialsCodec() };
const windows = topic<ChannelWindow>('windows');
const config = topic<ConfigEntry>('config');

const counting = () =>
  stage(windowPartials({ mergerPartitions: PARTITIONS }), {
    from: { feedback },
    to: { partials },
    state: { open: { name: 'open', codec: openCodec() } },
    tables: { config },
  });
const merging = () =>
  stage(windowMerge({ sourcePartitions: PARTITIONS }), {
    from: { partials },
    to: { windows },
    state: { merging: { name: 'merging', codec: mergingCodec() } },
    tables: { config },
  });

const entry = (kind: string, body: unknown): { key: string; value: ConfigEntry } => ({
  key: `${kind}/all`,
  value: {
    kind,
    name: 'all',
    version: JSON.stringify(body),
    body: JSON.stringify(body),
    appliedAt: 0,
    appliedBy: 'test',
  },
});

const account = { name: 'main', currency: 'CNY', initialCash: '1', initialUnits: 1 };
const tenants = entry(
  'tenants',
  ['acme', 'beta', 'gamma'].map((id) => ({ id, businessLines: [account] })),
);
const settings = (change: Record<string, number> = {}) =>
  entry('windows', {
    lengthMs: LENGTH_MS,
    graceMs: GRACE_MS,
    silenceMs: SILENCE_MS,
    retentionMs: RETENTION_MS,
    ...change,
  });

const driverOf = async (
  tasks: readonly (readonly Stage<object>[])[],
  { maxBatch = 100, change = {} }: { maxBatch?: number; change?: Record<string, number> } = {},
): Promise<TestDriver<object>> => {
  const driver = new TestDriver<object>([topology('windows', tasks)], {
    ports: {},
    partitions: PARTITIONS,
    maxBatch,
  });
  for (const { key, value } of [settings(change), tenants])
    driver.write({
      topic: config.name,
      partition: null,
      key: Buffer.from(key),
      value: config.codec.encode(value),
    });
  await driver.settle();
  return driver;
};

const started = (options?: Parameters<typeof driverOf>[1]) =>
  driverOf([[counting()], [merging()]], options);

const send = (
  driver: TestDriver<object>,
  ...records: readonly { partition: number; value: DeliveryFeedback }[]
): Promise<void> => driver.pipe(feedback, records);

/** One answer in every partition, so that none is unheard. */
const everywhere = (driver: TestDriver<object>, occurredAt: EpochMs): Promise<void> =>
  send(
    driver,
    ...Array.from({ length: PARTITIONS }, (_, partition) => ({
      partition,
      value: answer({ occurredAt }),
    })),
  );

const pass = async (driver: TestDriver<object>, ms: number): Promise<void> => {
  for (let passed = 0; passed < ms; passed += 1_000) await driver.advance(1_000);
};

const keyOf = ({
  series,
  channel,
  provider,
  lane,
  tenantId: tenant,
  windowStart,
  windowMs,
}: ChannelWindow) => [series, channel, provider, lane, tenant, windowStart, windowMs].join('/');

/** The newest revision of each window. */
const newest = (driver: TestDriver<object>): Map<string, ChannelWindow> => {
  const found = new Map<string, ChannelWindow>();
  for (const window of driver.read(windows)) {
    const revision = found.get(keyOf(window))?.revision ?? -1;
    // Also: no revision is left out, and none is written twice.
    expect(window.revision).toBe(revision + 1);
    found.set(keyOf(window), window);
  }
  return found;
};

const channelWindows = (driver: TestDriver<object>): readonly ChannelWindow[] =>
  driver.read(windows).filter(({ series }) => series === 'channel');

const aligned = (now: EpochMs): EpochMs => Math.floor(now / LENGTH_MS) * LENGTH_MS;

describe('windows', () => {
  test('every feedback is counted once in its window, whatever is batched, aborted or restarted', async () => {
    const change = fc.oneof(
      fc.record({ state: fc.constant('accepted' as const) }),
      fc.record({
        state: fc.constant('failed' as const),
        class: fc.constantFrom('provider' as const, 'recipient' as const, 'throttled' as const),
      }),
      fc.record({ state: fc.constant('delivered' as const), sequence: fc.constant(2) }),
    );
    const record = fc.record({
      partition: fc.nat(PARTITIONS - 1),
      agoMs: fc.nat(15_000),
      channel: fc.constantFrom('sms', 'app_push'),
      lane: fc.constantFrom<Lane>('p0', 'p3'),
      tenant: fc.constantFrom('acme', 'beta', 'stranger'),
      change,
    });
    const step = fc.record({
      records: fc.array(record, { maxLength: 12 }),
      thenMs: fc.constantFrom(0, 100, 1_000, 7_000),
      abort: fc.boolean(),
      restart: fc.nat(9).map((one) => one === 0),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 8 }),
        fc.constantFrom(1, 3, 100),
        async (steps, maxBatch) => {
          const driver = await started({ maxBatch });
          await everywhere(driver, driver.clock.now());
          const model = new Map<string, ReturnType<typeof noCounts>>();
          const expected = (value: DeliveryFeedback): void => {
            const start = aligned(value.occurredAt);
            const tenant = value.tenantId === 'stranger' ? 'other' : value.tenantId;
            for (const key of [
              ['channel', value.channel, 'aliyun', value.lane, null, start, LENGTH_MS].join('/'),
              ['tenant', value.channel, null, null, tenant, start, LENGTH_MS].join('/'),
            ]) {
              const counts = model.get(key) ?? noCounts();
              countFeedback(counts, value);
              model.set(key, counts);
            }
          };
          for (let partition = 0; partition < PARTITIONS; partition++)
            expected(answer({ occurredAt: driver.clock.now() }));
          for (const { records, thenMs, abort, restart } of steps) {
            if (abort) driver.abortNext();
            const values = records.map(({ partition, agoMs, tenant, change: what, ...rest }) => ({
              partition,
              value: answer({
                ...rest,
                ...what,
                tenantId: tenantId(tenant),
                occurredAt: driver.clock.now() - agoMs,
              }),
            }));
            for (const { value } of values) expected(value);
            await send(driver, ...values);
            if (restart) await driver.restart();
            await driver.advance(thenMs);
          }
          await pass(driver, 30_000);
          const found = newest(driver);
          expect([...found.keys()].sort()).toEqual([...model.keys()].sort());
          for (const [key, counts] of model) expect(found.get(key)).toMatchObject(counts);
          for (const window of found.values()) expect(window.complete).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('a window waits for every source partition, then closes with latency and queue age', async () => {
    const driver = await started();
    const start = aligned(driver.clock.now());
    await everywhere(driver, start + 1_000);
    // The last partition is busy, but with old answers: it is behind, not idle.
    for (let second = 0; second < 14; second++) {
      await send(
        driver,
        ...Array.from({ length: PARTITIONS }, (_, partition) => ({
          partition,
          value: answer({
            provider: 'filler',
            occurredAt: partition === PARTITIONS - 1 ? start : driver.clock.now(),
          }),
        })),
      );
      await driver.advance(1_000);
    }
    expect(driver.read(windows)).toEqual([]);
    await everywhere(driver, start + LENGTH_MS + GRACE_MS);
    await driver.advance(500);
    const [window] = channelWindows(driver).filter(({ provider }) => provider === 'aliyun');
    expect(window).toMatchObject({
      windowStart: start,
      windowMs: LENGTH_MS,
      revision: 0,
      complete: true,
      attempts: PARTITIONS,
      costMicros: 135_000n,
      latencyMaxMs: 100,
    });
    expect(window?.latencyP50Ms).toBeCloseTo(100, -1);
    expect(window?.queueAgeP99Ms).toBeCloseTo(200, -1);
  });

  test('when traffic stops, windows close by idle marks', async () => {
    const driver = await started();
    await everywhere(driver, driver.clock.now());
    await pass(driver, LENGTH_MS + 2 * GRACE_MS + 1_000);
    expect(channelWindows(driver)).toMatchObject([
      { attempts: PARTITIONS, revision: 0, complete: true },
    ]);
  });

  test('an answer dated ahead of our clock closes nothing', async () => {
    const driver = await started();
    const now = driver.clock.now();
    await everywhere(driver, now);
    await everywhere(driver, now + 10 * LENGTH_MS);
    await driver.advance(1_000);
    expect(driver.read(windows)).toEqual([]);
  });

  test('a late answer makes a revision; one past its retention is dropped and counted', async () => {
    const driver = await started();
    const start = aligned(driver.clock.now());
    await everywhere(driver, start + 1);
    await pass(driver, 20_000);
    await send(driver, { partition: 1, value: answer({ occurredAt: start + 2 }) });
    await driver.advance(1_000);
    expect(channelWindows(driver)).toMatchObject([
      { revision: 0, attempts: 3 },
      { revision: 1, attempts: 4, complete: true },
    ]);
    await pass(driver, RETENTION_MS + 2 * LENGTH_MS);
    await send(driver, { partition: 1, value: answer({ occurredAt: start + 3 }) });
    await pass(driver, 5_000);
    expect(channelWindows(driver)).toHaveLength(2);
  });

  test('a silent source holds a window open only so long; its answers complete it later', async () => {
    const driver = await driverOf([[merging()]]);
    const start = aligned(driver.clock.now());
    const snapshots = await snapshotsOf(3, start);
    const at = (source: number, watermark: EpochMs) => ({
      partition: 0,
      value: { is: 'watermark' as const, source, watermark, idle: false },
    });
    const mark = async () => {
      await driver.pipe(partials, [at(0, driver.clock.now()), at(1, driver.clock.now())]);
    };
    await driver.pipe(
      partials,
      snapshots.slice(0, 2).map((value) => ({ partition: 0, value })),
    );
    for (let passed = 0; passed < SILENCE_MS - 2_000; passed += 2_000) {
      await driver.advance(2_000);
      await mark();
    }
    expect(driver.read(windows)).toEqual([]);
    await driver.advance(2_000);
    await mark();
    expect(driver.read(windows)).toMatchObject([{ revision: 0, complete: false, attempts: 2 }]);
    await driver.pipe(partials, [
      ...snapshots.slice(2).map((value) => ({ partition: 0, value })),
      at(2, driver.clock.now()),
    ]);
    expect(driver.read(windows)).toMatchObject([
      { revision: 0, complete: false, attempts: 2 },
      { revision: 1, complete: true, attempts: 3 },
    ]);
  });

  test('nobody counts as silent while the merger itself was down', async () => {
    const driver = await driverOf([[merging()]]);
    const start = aligned(driver.clock.now());
    const [snapshot] = await snapshotsOf(1, start);
    if (snapshot !== undefined) await driver.pipe(partials, [{ partition: 0, value: snapshot }]);
    driver.clock.advance(10 * SILENCE_MS);
    await driver.restart();
    await pass(driver, SILENCE_MS - 1_000);
    expect(driver.read(windows)).toEqual([]);
    await pass(driver, 2_000);
    expect(driver.read(windows)).toMatchObject([{ complete: false }]);
  });

  test('a partition that was just taken over is not idle: its backlog comes first', async () => {
    const driver = await started();
    await everywhere(driver, driver.clock.now());
    driver.clock.advance(10 * 60_000);
    await driver.restart();
    await driver.advance(1_000);
    const marks = driver.read(partials).filter((one) => one.is === 'watermark' && one.idle);
    expect(marks).toEqual([]);
  });

  test('a partition that never had a record says that it is idle', () => {
    const { run } = byHand();
    expect(run(1_000, (processor, view) => processor.restored?.(view)).emit).toBeUndefined();
    expect(run(2_000, (processor, view) => processor.tick?.(view)).emit).toBeUndefined();
    expect(run(4_000, (processor, view) => processor.tick?.(view)).emit).toMatchObject([
      { partition: 0, value: { is: 'watermark', source: 7, watermark: 4_000, idle: true } },
      { partition: 1, value: { is: 'watermark', source: 7, watermark: 4_000, idle: true } },
    ]);
  });

  test('an answer that is too late for its window is counted as dropped', () => {
    const { run } = byHand();
    const now = 10 * RETENTION_MS;
    const take = (occurredAt: EpochMs) => {
      run(now, (processor, view) =>
        processor.decide(
          {
            from: 'feedback',
            at: { topic: 'feedback', partition: 7, offset: 0 },
            key: null,
            value: answer({ occurredAt }),
            timestamp: 0,
            headers: {},
            size: 0,
          },
          null,
          view,
        ),
      );
    };
    take(now);
    take(0);
    take(1);
    const { decision, processor } = run(now, (one, view) => one.flush?.(view));
    expect(processor.metrics?.['late_dropped']?.(decision)).toBe(2);
    expect(decision.emit?.filter(({ value }) => value.is === 'partial')).toHaveLength(2);
  });

  test('tenants beyond the cap, and those no longer configured, count together as other', async () => {
    const driver = await started({ change: { maxTenants: 2 } });
    const occurredAt = driver.clock.now();
    await send(
      driver,
      ...['acme', 'beta', 'gamma', 'gone'].map((tenant, index) => ({
        partition: index % PARTITIONS,
        value: answer({ occurredAt, tenantId: tenantId(tenant) }),
      })),
    );
    await pass(driver, 20_000);
    const found = driver.read(windows).filter(({ series }) => series === 'tenant');
    expect(new Map(found.map((one) => [one.tenantId, one.attempts]))).toEqual(
      new Map([
        ['acme', 1],
        ['beta', 1],
        ['other', 2],
      ]),
    );
  });

  test('all lanes of a channel × provider are written under one key, in one go', async () => {
    const driver = await started();
    const occurredAt = driver.clock.now();
    await send(
      driver,
      ...(['p0', 'p1', 'p3'] as const).map((lane, partition) => ({
        partition,
        value: answer({ occurredAt, lane }),
      })),
    );
    await pass(driver, 20_000);
    const found = driver.records(windows).filter(({ value }) => value.series === 'channel');
    expect(new Set(found.map(({ raw }) => raw.key?.toString()))).toEqual(
      new Set(['channel/sms/aliyun']),
    );
    expect(found.map(({ value }) => value.lane).sort()).toEqual(['p0', 'p1', 'p3']);
  });

  test('windows of another length are other windows', async () => {
    const driver = await started();
    await everywhere(driver, driver.clock.now());
    const { key, value } = settings({ lengthMs: 5_000 });
    driver.write({
      topic: config.name,
      partition: null,
      key: Buffer.from(key),
      value: config.codec.encode(value),
    });
    await everywhere(driver, driver.clock.now());
    await pass(driver, 20_000);
    expect(channelWindows(driver).map(({ windowMs, attempts }) => [windowMs, attempts])).toEqual(
      expect.arrayContaining([
        [10_000, 3],
        [5_000, 3],
      ]),
    );
  });

  test('what is past its retention is forgotten on both hops', async () => {
    const driver = await started();
    await everywhere(driver, driver.clock.now());
    await pass(driver, RETENTION_MS + 4 * LENGTH_MS);
    const left = (name: string) => {
      const keys = new Set<string>();
      for (const { key, value } of driver.log.all(name)) {
        const text = key?.toString() ?? '';
        if (value === null) keys.delete(text);
        else keys.add(text);
      }
      return [...keys].filter((key) => !/(source|clock)$/.test(key));
    };
    expect(left('open')).toEqual([]);
    expect(left('merging')).toEqual([]);
  });
});

/** The counting processor over partition 7, without a topology. */
const byHand = () => {
  const processor = windowPartials({ mergerPartitions: 2 });
  const open = new Map<string, WindowPartials['state']['open']>();
  const tables = { config: new Map([settings(), tenants].map(({ key, value }) => [key, value])) };
  const run = (
    now: EpochMs,
    hook: (
      one: typeof processor,
      view: View<WindowPartials>,
    ) => Decision<WindowPartials> | undefined,
  ) => {
    const decision = hook(processor, { now, partition: 7, state: { open }, tables }) ?? {};
    for (const { key, value } of decision.put ?? []) if (value !== null) open.set(key, value);
    return { decision, emit: decision.emit, processor };
  };
  return { run };
};

/** Snapshots of one window as `count` source partitions write them, one answer each. */
const snapshotsOf = async (count: number, start: EpochMs) => {
  const driver = await driverOf([[counting()]]);
  await send(
    driver,
    ...Array.from({ length: count }, (_, partition) => ({
      partition,
      value: answer({ occurredAt: start }),
    })),
  );
  return driver
    .read(partials)
    .filter((one) => one.is === 'partial')
    .filter(({ series }) => series === 'channel');
};

test('snapshots may come in any order and more than once: the newest of each source counts', async () => {
  const start = aligned(Date.UTC(2026, 0, 5, 9));
  const counting3 = await driverOf([[counting()]]);
  for (let round = 0; round < 4; round++) {
    await send(
      counting3,
      ...Array.from({ length: PARTITIONS }, (_, partition) => ({
        partition,
        value: answer({ occurredAt: start + round, attempt: 1 + (round % 2), sequence: 1 }),
      })),
    );
    await counting3.advance(1_000);
  }
  const all = counting3
    .read(partials)
    .filter((one) => one.is === 'partial')
    .filter(({ series }) => series === 'channel');
  expect(all).toHaveLength(12);
  const total = noCounts();
  for (const { counts, version } of all) if (version === 4) addCounts(total, counts);
  await fc.assert(
    fc.asyncProperty(
      fc.shuffledSubarray([...all, ...all], { minLength: 24 }),
      fc.constantFrom(1, 5, 100),
      async (shuffled, maxBatch) => {
        const driver = await driverOf([[merging()]], { maxBatch });
        await driver.pipe(partials, [
          ...shuffled.map((value) => ({ partition: 0, value })),
          ...Array.from({ length: PARTITIONS }, (_, source) => ({
            partition: 0,
            value: {
              is: 'watermark' as const,
              source,
              watermark: start + LENGTH_MS + GRACE_MS,
              idle: false,
            },
          })),
        ]);
        expect(driver.read(windows)).toHaveLength(1);
        expect(driver.read(windows)[0]).toMatchObject({ ...total, revision: 0, complete: true });
      },
    ),
    { numRuns: 30 },
  );
});
