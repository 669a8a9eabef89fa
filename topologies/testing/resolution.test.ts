import { describe, expect, test } from 'vitest';
import type { Finding } from '../../processors/unknown/contract.js';
import type { BusinessConfig, ProviderConfig } from '../../schemas/config.js';
import { deliveryWorld, type DeliveryWorld, type WorldOptions } from './delivery-world.js';
import { TEST_CONFIG, idOf } from './fixtures.js';

/* Calls whose worker died between claim and answer, by what their provider's `unknownOutcome` says. */

const HOUR_MS = 3_600_000;

const configured = (change: Partial<ProviderConfig>): BusinessConfig => ({
  ...TEST_CONFIG,
  channels: TEST_CONFIG.channels.map((channel) =>
    channel.name === 'sms'
      ? { ...channel, providers: [{ ...channel.providers[0], ...change }] }
      : channel,
  ) as BusinessConfig['channels'],
});

/** One message, claimed by a worker that then died. */
const orphaned = async (
  change: Partial<ProviderConfig>,
  options: WorldOptions = {},
): Promise<DeliveryWorld> => {
  const world = await deliveryWorld({ ...options, config: configured(change) });
  world.driver.dieBeforeCalls();
  await world.send([world.request(1)]);
  await world.driver.restart();
  world.settle();
  return world;
};

/** Second by second as in life, and the stores keep up. */
const pass = async (world: DeliveryWorld, milliseconds: number, stepMs: number): Promise<void> => {
  for (let gone = 0; gone < milliseconds; gone += stepMs) {
    await world.driver.advance(stepMs);
    world.settle();
  }
};

const told = (world: DeliveryWorld) =>
  world
    .feedback()
    .map(({ attempt, state, terminal, settlement }) => [attempt, state, terminal, settlement.kind]);
const tombstones = (world: DeliveryWorld): number =>
  world.driver.log.all('internal.unknown').filter(({ value }) => value === null).length;

const SAID = {
  kind: 'reported',
  class: null,
  providerCode: 'DELIVERED',
  providerMessageId: null,
  units: 1,
  reportedAt: 0,
} as const;

describe('query', () => {
  test.each<{ said: Finding; state: string; terminal: boolean; money: string }>([
    { said: { ...SAID, state: 'delivered' }, state: 'delivered', terminal: true, money: 'post' },
    { said: { ...SAID, state: 'accepted' }, state: 'accepted', terminal: false, money: 'post' },
    {
      said: { ...SAID, state: 'failed', class: 'recipient', providerCode: 'MOBILE_IN_BLACK' },
      state: 'failed',
      terminal: true,
      money: 'void',
    },
  ])('what the provider says ends it: $state, once', async ({ said, state, terminal, money }) => {
    const world = await orphaned({ unknownOutcome: 'query' }, { findings: () => said });
    expect(told(world)).toEqual([[1, 'held', false, 'none']]);
    await pass(world, 60_000, 1_000);
    expect(told(world)).toEqual([
      [1, 'held', false, 'none'],
      [1, state, terminal, money],
    ]);
    expect(world.inquiries.asked).toHaveLength(1);
    expect(world.inquiries.asked[0]?.reference).toBe(`acme|${idOf(1)}|0|1`);
    expect(tombstones(world)).toBe(1);
    expect(world.ledger.pending).toEqual([]);
    expect(world.providers.calls).toEqual([]);
    // Long after its horizon nothing is said again.
    await pass(world, 80 * HOUR_MS, HOUR_MS);
    expect(told(world)).toHaveLength(2);
  });

  test('a provider that knows nothing of it, and does not dedupe, is asked ever more seldom, never sent to again', async () => {
    const world = await orphaned(
      { unknownOutcome: 'query' },
      { findings: () => ({ kind: 'not_found' }) },
    );
    await pass(world, 2 * HOUR_MS, 10_000);
    expect(world.inquiries.asked.length).toBeGreaterThanOrEqual(5);
    expect(world.inquiries.asked.length).toBeLessThanOrEqual(8);
    expect(world.providers.calls).toEqual([]);
    expect(told(world)).toEqual([[1, 'held', false, 'none']]);
    expect(world.ledger.pending).toHaveLength(1);
  });

  test('one that dedupes gets it again under the same key, once it was not found twice; the next attempt settles', async () => {
    const world = await orphaned(
      { unknownOutcome: 'query', dedupesOnKey: true, receipts: false },
      { findings: () => ({ kind: 'not_found' }) },
    );
    await pass(world, 5 * 60_000, 1_000);
    expect(world.inquiries.asked).toHaveLength(2);
    expect(told(world)).toEqual([
      [1, 'held', false, 'none'],
      [1, 'unknown', false, 'none'],
      [2, 'accepted', true, 'post'],
    ]);
    expect(world.providers.calls.map(({ idempotencyKey }) => idempotencyKey)).toEqual([
      world.inquiries.asked[0]?.idempotencyKey,
    ]);
    const sequences = world.feedback().map(({ sequence }) => sequence);
    expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
    expect(world.ledger.pending).toEqual([]);
    await pass(world, 80 * HOUR_MS, HOUR_MS);
    expect(told(world)).toHaveLength(3);
    expect(world.ledger.account('acme/orders').cash.posted).toBe(45_000n);
  });

  test('a provider that is away is asked again, and what it says then counts', async () => {
    let asked = 0;
    const world = await orphaned(
      { unknownOutcome: 'query' },
      {
        findings: () => {
          asked += 1;
          return asked < 3
            ? { kind: 'no_answer', code: 'ECONNREFUSED' }
            : { ...SAID, state: 'delivered' };
        },
      },
    );
    await pass(world, 10 * 60_000, 1_000);
    expect(asked).toBe(3);
    expect(told(world).at(-1)).toEqual([1, 'delivered', true, 'post']);
  });

  test('a question under way when the worker dies is asked again: asking harms nobody', async () => {
    const world = await orphaned(
      { unknownOutcome: 'query' },
      { findings: () => ({ ...SAID, state: 'delivered' }) },
    );
    world.driver.dieBeforeCalls();
    await pass(world, 6_000, 1_000);
    expect(world.inquiries.asked).toEqual([]);
    await world.driver.restart();
    await pass(world, 60_000, 1_000);
    expect(told(world).at(-1)).toEqual([1, 'delivered', true, 'post']);
    expect(world.providers.repeated).toEqual([]);
  });
});

describe('horizon', () => {
  test.each([
    { unknownOutcome: 'receipt', billing: 'on_delivery', money: 'void', posted: 0n },
    { unknownOutcome: 'receipt', billing: 'on_acceptance', money: 'post', posted: 45_000n },
    { unknownOutcome: 'hold', billing: 'on_delivery', money: 'void', posted: 0n },
    { unknownOutcome: 'query', billing: 'on_delivery', money: 'void', posted: 0n },
  ] as const)(
    '$unknownOutcome, billed $billing: held for 72 h and no shorter, then unknown, terminal, $money',
    async ({ unknownOutcome, billing, money, posted }) => {
      const world = await orphaned({ unknownOutcome, billing });
      await pass(world, 71 * HOUR_MS, HOUR_MS);
      expect(told(world)).toEqual([[1, 'held', false, 'none']]);
      expect(world.ledger.pending).toHaveLength(1);
      await pass(world, 2 * HOUR_MS, HOUR_MS);
      expect(told(world)).toEqual([
        [1, 'held', false, 'none'],
        [1, 'unknown', true, money],
      ]);
      expect(world.ledger.pending).toEqual([]);
      expect(world.ledger.unbalanced).toEqual([]);
      expect(world.ledger.account('acme/orders').cash.posted).toBe(posted);
      expect(tombstones(world)).toBe(1);
      expect(world.providers.calls).toEqual([]);
    },
  );

  test('is the provider’s to configure, and counts from when it was held, across restarts', async () => {
    const world = await orphaned({ unknownOutcome: 'hold', receiptHorizonMs: HOUR_MS });
    await pass(world, HOUR_MS / 2, 60_000);
    await world.driver.restart();
    await pass(world, HOUR_MS / 2 - 120_000, 60_000);
    expect(told(world)).toHaveLength(1);
    await pass(world, 240_000, 60_000);
    expect(told(world).at(-1)).toEqual([1, 'unknown', true, 'void']);
  });

  test('a receipt before it wins, and nothing is left to expire', async () => {
    const world = await orphaned({ unknownOutcome: 'receipt' });
    const [feedback] = world.feedback();
    await world.driver.pipe(world.topics.receipts, [
      {
        key: null,
        value: {
          provider: 'first',
          channel: 'sms',
          origin: 'carrier',
          attempt: {
            tenantId: feedback?.tenantId ?? ('' as never),
            messageId: idOf(1),
            generation: 0,
            attempt: 1,
          },
          providerMessageId: null,
          state: 'delivered',
          class: null,
          providerCode: null,
          units: null,
          reportedAt: 0,
          receivedAt: world.clock.now(),
          deferrals: 0,
          dueAt: null,
        },
      },
    ]);
    world.settle();
    await pass(world, 80 * HOUR_MS, HOUR_MS);
    expect(told(world).slice(1)).toEqual([[1, 'delivered', true, 'post']]);
    expect(world.driver.log.all('dead-letters')).toEqual([]);
  });

  test('a message that was sent again because its provider dedupes, and expired on the way, ends too', async () => {
    const world = await deliveryWorld({
      config: configured({ unknownOutcome: 'retry', dedupesOnKey: true, receipts: false }),
      script: () => ({ kind: 'timeout', providerCode: null }),
    });
    await world.send([world.request(1)]);
    await pass(world, 80 * HOUR_MS, HOUR_MS / 4);
    const ends = told(world).filter(([, , terminal]) => terminal);
    expect(ends).toEqual([[3, 'unknown', true, 'void']]);
    expect(world.ledger.pending).toEqual([]);
    const ids = world.feedback().map(({ feedbackId }) => feedbackId);
    expect(new Set(ids).size).toBe(ids.length);
  });
});
