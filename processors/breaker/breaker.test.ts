import { describe, expect, test } from 'vitest';
import { tenantId } from '../../schemas/brand.js';
import { breakerSchema } from '../../schemas/config.js';
import type {
  BreakerCommand,
  BreakerLevel,
  ChannelWindow,
  ConfigEntry,
  Lane,
} from '../../schemas/generated/records.js';
import { internalJson } from '../../schemas/internal-codec.js';
import type { Topic } from '../../schemas/record.js';
import { TestDriver } from '../../topologies/testing/driver.js';
import { stage, topology } from '../../topologies/topology.js';
import { REBUILT_HEADERS } from '../windows/rebuilt.js';
import { breaker } from './breaker.js';
import type { ScopeState } from './scope.js';

const topic = <V>(name: string): Topic<V> => ({
  name,
  codec: internalJson<V>({ writes: 1, reads: 1 }),
});

const windows = topic<ChannelWindow>('windows');
const levels = topic<BreakerLevel>('levels');
const commands = topic<BreakerCommand>('commands');
const config = topic<ConfigEntry>('config');

const WINDOW_MS = 10_000;
const HEARTBEAT_MS = 10_000;
const SCOPE = 'channel/sms/aliyun';

const started = async (level1: Record<string, number> = {}): Promise<TestDriver<object>> => {
  const driver = new TestDriver<object>(
    [
      topology('breaker', [
        [
          stage(breaker, {
            from: { windows },
            to: { levels },
            state: { scopes: topic<ScopeState>('scopes') },
            tables: { config, commands },
          }),
        ],
      ]),
    ],
    { ports: {} },
  );
  const body = breakerSchema.parse({ level1, heartbeatMs: HEARTBEAT_MS });
  await driver.pipe(config, [
    {
      key: 'breaker/all',
      value: {
        kind: 'breaker',
        name: 'all',
        version: '1',
        body: JSON.stringify(body),
        appliedAt: 0,
        appliedBy: 'test',
      },
    },
  ]);
  return driver;
};

const closed = (
  index: number,
  attempts: number,
  errors: number,
  change: Partial<ChannelWindow> = {},
): { readonly key: string; readonly value: ChannelWindow } => ({
  key: SCOPE,
  value: {
    series: 'channel',
    channel: 'sms',
    provider: 'aliyun',
    lane: 'p1',
    tenantId: null,
    windowStart: index * WINDOW_MS,
    windowMs: WINDOW_MS,
    revision: 0,
    complete: true,
    attempts,
    messages: attempts,
    accepted: attempts - errors,
    delivered: 0,
    failedRecipient: 0,
    failedContent: 0,
    failedAccount: 0,
    failedProvider: errors,
    throttled: 0,
    timeout: 0,
    unknown: 0,
    reversed: 0,
    costMicros: 0n,
    units: 0,
    errorRate: errors / attempts,
    latencyP50Ms: 0,
    latencyP95Ms: 0,
    latencyP99Ms: 0,
    latencyMaxMs: 0,
    queueAgeP99Ms: 0,
    closedAt: 0,
    ...change,
  },
});

const lane = (of: Lane): Partial<ChannelWindow> => ({ lane: of });

const changes = (driver: TestDriver<object>): readonly BreakerLevel[] =>
  driver.read(levels).filter(({ heartbeat }) => !heartbeat);

const command = async (
  driver: TestDriver<object>,
  action: string,
  change: Partial<BreakerCommand> = {},
): Promise<void> => {
  driver.clock.advance(1);
  const at = driver.clock.now();
  const value = { scope: SCOPE, action, level: null, reason: 'drill', actor: 'ann', at, ...change };
  await driver.pipe(commands, [{ key: value.scope, value }]);
  await driver.advance(1_000);
};

describe('breaker', () => {
  test('trips, halves, and recovers, each change with its cause and window, keyed by scope', async () => {
    const driver = await started();
    await driver.pipe(windows, [closed(1, 200, 100)]);
    await driver.pipe(windows, [closed(2, 100, 50)]);
    for (const index of [3, 4, 5, 6]) await driver.pipe(windows, [closed(index, 30, 0)]);
    expect(
      changes(driver).map((one) => [
        one.fromLevel,
        one.level,
        one.fromRateFactor,
        one.rateFactor,
        one.avoid,
        one.windowStart,
      ]),
    ).toEqual([
      [0, 1, 1, 0.5, true, 10_000],
      [1, 1, 0.5, 0.25, true, 20_000],
      [1, 1, 0.25, 0.5, true, 50_000],
      [1, 0, 0.5, 1, false, 60_000],
    ]);
    expect(changes(driver)[0]).toMatchObject({
      scope: SCOPE,
      channel: 'sms',
      provider: 'aliyun',
      errorRate: 0.5,
      attempts: 200,
      windowMs: WINDOW_MS,
    });
    for (const { raw } of driver.records(levels)) expect(raw.key?.toString()).toBe(SCOPE);
  });

  test('an old window that was written anew neither lowers nor raises', async () => {
    const driver = await started();
    const rebuilt = (...of: Parameters<typeof closed>) => ({
      ...closed(...of),
      headers: REBUILT_HEADERS,
    });
    await driver.pipe(windows, [closed(9, 30, 0), rebuilt(1, 200, 100), rebuilt(8, 200, 100)]);
    expect(changes(driver)).toEqual([]);
    await driver.pipe(windows, [closed(10, 200, 100)]);
    expect(changes(driver)).toMatchObject([{ windowStart: 10 * WINDOW_MS, rateFactor: 0.5 }]);
    await driver.pipe(windows, [rebuilt(11, 30, 0), rebuilt(12, 30, 0), rebuilt(13, 30, 0)]);
    expect(changes(driver)).toHaveLength(1);
  });

  test('judges the sum of a window over its lanes, however small each is', async () => {
    const driver = await started();
    await driver.pipe(windows, [
      closed(1, 100, 20, lane('p0')),
      closed(1, 100, 1, lane('p1')),
      closed(1, 100, 10, lane('p3')),
    ]);
    expect(changes(driver)).toMatchObject([{ attempts: 300, errorRate: 31 / 300 }]);
  });

  test('a bad lane trips nothing where the others outweigh it', async () => {
    const driver = await started();
    await driver.pipe(windows, [closed(1, 200, 40, lane('p0')), closed(1, 800, 0, lane('p1'))]);
    expect(changes(driver)).toEqual([]);
  });

  test('a revision replaces its lane, and an older one that comes again changes nothing', async () => {
    const driver = await started();
    await driver.pipe(windows, [closed(1, 200, 0)]);
    await driver.pipe(windows, [closed(1, 300, 100, { revision: 1 })]);
    await driver.pipe(windows, [closed(1, 200, 0)]);
    await driver.pipe(windows, [closed(1, 300, 100, { revision: 1 })]);
    expect(changes(driver)).toMatchObject([{ attempts: 300, rateFactor: 0.5 }]);
  });

  test('tenants and other providers are other matters', async () => {
    const driver = await started();
    await driver.pipe(windows, [
      closed(1, 500, 500, { series: 'tenant', provider: null, tenantId: tenantId('acme') }),
      { ...closed(1, 500, 500, { provider: 'tencent' }), key: 'channel/sms/tencent' },
      closed(1, 500, 0),
    ]);
    expect(changes(driver).map(({ scope }) => scope)).toEqual(['channel/sms/tencent']);
  });

  test('a heartbeat repeats what holds, so that a stale copy can be told', async () => {
    const driver = await started();
    await driver.pipe(windows, [closed(1, 200, 100)]);
    await driver.advance(HEARTBEAT_MS - 1);
    expect(driver.read(levels)).toHaveLength(1);
    await driver.advance(1);
    const [trip, heartbeat] = driver.read(levels);
    expect(heartbeat).toEqual({ ...trip, at: driver.clock.now(), heartbeat: true });
  });

  test('a scope is announced with its first window', async () => {
    const driver = await started();
    await driver.pipe(windows, [closed(1, 10, 0)]);
    expect(driver.read(levels)).toMatchObject([{ level: 0, rateFactor: 1, heartbeat: true }]);
  });

  test('a route without traffic is tried again, step by step, in time', async () => {
    const driver = await started({ stuckAfterMs: 60_000 });
    await driver.pipe(windows, [closed(1, 200, 100), closed(2, 100, 100)]);
    await driver.pipe(windows, [closed(3, 100, 100)]);
    for (let second = 0; second < 121; second++) await driver.advance(1_000);
    expect(changes(driver).map(({ rateFactor }) => rateFactor)).toEqual([0.5, 0.25, 0.5, 1]);
    expect(changes(driver).at(-1)).toMatchObject({ windowStart: null, level: 0 });
  });

  test('aborted and restarted, it decides the same once', async () => {
    const driver = await started();
    driver.abortNext();
    await driver.pipe(windows, [closed(1, 200, 100)]);
    await driver.restart();
    await driver.pipe(windows, [closed(1, 200, 100), closed(2, 100, 60)]);
    expect(changes(driver).map(({ rateFactor }) => rateFactor)).toEqual([0.5, 0.25]);
  });
});

describe('commands', () => {
  test('hold pins the floor against good windows and time-outs, release opens at once', async () => {
    const driver = await started({ stuckAfterMs: 20_000 });
    await driver.pipe(windows, [closed(1, 10, 0)]);
    await command(driver, 'hold');
    for (const index of [2, 3, 4, 5]) await driver.pipe(windows, [closed(index, 100, 0)]);
    for (let second = 0; second < 30; second++) await driver.advance(1_000);
    expect(changes(driver)).toMatchObject([
      { level: 1, rateFactor: 0.03125, avoid: true, cause: 'held by ann: drill' },
    ]);
    await command(driver, 'release');
    expect(changes(driver)).toMatchObject([
      { level: 1 },
      { level: 0, rateFactor: 1, avoid: false, cause: 'released by ann: drill' },
    ]);
  });

  test('windows from before a release do not trip again', async () => {
    const driver = await started();
    const index = Math.floor(driver.clock.now() / WINDOW_MS);
    await driver.pipe(windows, [closed(index - 2, 200, 100)]);
    await command(driver, 'release');
    await driver.pipe(windows, [closed(index - 1, 200, 100)]);
    expect(changes(driver)).toHaveLength(2);
    await driver.pipe(windows, [closed(index + 1, 200, 100)]);
    expect(changes(driver).at(-1)).toMatchObject({ level: 1, rateFactor: 0.5 });
  });

  test('set moves the level by hand, and the scope recovers by itself', async () => {
    const driver = await started({ stuckAfterMs: 10_000 });
    await driver.pipe(windows, [closed(1, 10, 0)]);
    await command(driver, 'set', { level: 1 });
    await driver.advance(10_000);
    await command(driver, 'set', { level: 1 });
    await command(driver, 'set', { level: 0 });
    expect(changes(driver).map(({ rateFactor }) => rateFactor)).toEqual([0.5, 1, 0.5, 1]);
  });

  test.each([
    { action: 'explode', change: {} },
    { action: 'confirm', change: {} },
    { action: 'set', change: { level: 3 } },
    { action: 'set', change: {} },
    { action: 'hold', change: { scope: 'channel/sms/nobody' } },
    { action: 'hold', change: { scope: '' } },
  ])('$action $change changes nothing and stops nothing', async ({ action, change }) => {
    const driver = await started();
    await driver.pipe(windows, [closed(1, 10, 0)]);
    await command(driver, action, change);
    expect(changes(driver)).toEqual([]);
    await driver.pipe(windows, [closed(2, 200, 100)]);
    expect(changes(driver)).toHaveLength(1);
  });

  test('a scope that is new here obeys an old command only if it holds', async () => {
    const driver = await started();
    await command(driver, 'set', { level: 1 });
    await driver.pipe(windows, [closed(1, 10, 0)]);
    await driver.advance(1_000);
    expect(changes(driver)).toEqual([]);
    const held = await started();
    await command(held, 'hold');
    await held.pipe(windows, [closed(1, 10, 0)]);
    await held.advance(1_000);
    expect(changes(held)).toMatchObject([{ rateFactor: 0.03125 }]);
  });
});
