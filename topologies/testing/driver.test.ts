import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Outcome } from '../../processors/send/outcomes.js';
import { tenantId } from '../../schemas/brand.js';
import type { ProviderReceipt } from '../../schemas/generated/records.js';
import type { Topic, TopicFamily } from '../../schemas/record.js';
import { DEAD_LETTER_HEADERS } from '../runtime/dead-letters.js';
import { type DeliveryWorld, deliveryWorld } from './delivery-world.js';
import { CANARIES, TEST_CONFIG, idOf } from './fixtures.js';
import { ACCEPTED } from './memory-ports.js';

const failing: Outcome = { kind: 'failed.provider', providerCode: '500' };
const keysOn = <V>({ driver }: DeliveryWorld, topic: Topic<V> | TopicFamily<V>) =>
  driver.records(topic).map(({ raw }) => raw.key?.toString());

describe('a request', () => {
  test('goes through every topic under the producer’s key and is paid for once', async () => {
    const world = await deliveryWorld();
    await world.send([world.request(1)], 'user-7');
    const { deduped, reserved, routed } = world.lane;
    expect(keysOn(world, deduped)).toEqual(['user-7']);
    expect(keysOn(world, reserved)).toEqual(['user-7']);
    expect(keysOn(world, routed)).toEqual(['user-7']);
    expect(keysOn(world, world.topics.feedback)).toEqual(['user-7']);
    expect(world.feedback()).toMatchObject([
      {
        messageId: idOf(1),
        state: 'accepted',
        attempt: 1,
        settlement: { kind: 'post', cashMicros: 45_000n, units: 1 },
      },
    ]);
    world.settle();
    expect(world.ledger.account('acme/orders')).toMatchObject({
      cash: { pending: 0n, posted: 45_000n },
      units: { pending: 0n, posted: 1n },
    });
    expect(world.ledger.unbalanced).toEqual([]);
  });

  test('without a key travels under its messageId, and its trace header goes with it', async () => {
    const world = await deliveryWorld();
    const traceparent = Buffer.from('00-trace');
    await world.driver.pipe(world.lane.ingest, [
      { value: world.request(1), headers: { traceparent, other: Buffer.from('x') } },
    ]);
    expect(keysOn(world, world.topics.feedback)).toEqual([idOf(1)]);
    const [routed] = world.driver.records(world.lane.routed);
    expect(routed?.raw.headers).toEqual({ traceparent });
  });

  test('sent twice is refused as a duplicate that names the first, and paid for once', async () => {
    const world = await deliveryWorld();
    await world.send([world.request(1)]);
    await world.send([world.request(1)]);
    expect(world.refused()).toMatchObject([
      {
        reason: 'duplicate',
        retryable: false,
        firstMessageId: idOf(1),
        firstSource: { topic: 'ingest.p1', offset: 0 },
        source: { topic: 'ingest.p1', offset: 1 },
      },
    ]);
    await world.send([world.request(1, { params: { code: 'other' } })]);
    expect(world.refused().map(({ reason }) => reason)).toEqual([
      'duplicate',
      'idempotency_conflict',
    ]);
    expect(world.providers.calls).toHaveLength(1);
  });

  test('sent twice in one batch passes once, whichever stage would be asked first', async () => {
    const world = await deliveryWorld();
    await world.send([world.request(1), world.request(1)]);
    expect(world.providers.calls).toHaveLength(1);
    expect(world.refused()).toMatchObject([{ reason: 'duplicate' }]);
  });

  test('sent twice while Redis is away is still paid for and sent once: its partition knows it', async () => {
    const world = await deliveryWorld();
    world.firstSeen.away = true;
    await world.send([world.request(1)]);
    await world.send([world.request(1)]);
    expect(world.refused()).toMatchObject([{ reason: 'duplicate', firstMessageId: idOf(1) }]);
    expect(world.providers.calls).toHaveLength(1);
  });

  test('sent twice on two partitions while Redis is away is paid for and sent once: the ledger knows it', async () => {
    const world = await deliveryWorld();
    world.firstSeen.away = true;
    await world.send([world.request(1)], 'user-1');
    await world.send([world.request(1)], 'user-2');
    const partitions = world.driver.records(world.lane.ingest).map(({ raw }) => raw.at.partition);
    expect(new Set(partitions).size).toBe(2);
    expect(world.refused()).toMatchObject([
      { reason: 'duplicate', firstMessageId: idOf(1), firstSource: { offset: 0 } },
    ]);
    expect(world.providers.calls).toHaveLength(1);
  });

  test('of one tenant never meets another tenant’s, though ids and keys are the same', async () => {
    const world = await deliveryWorld();
    const same = { idempotencyKey: 'order-1' };
    await world.send([
      world.request(1, same),
      world.request(1, { ...same, tenantId: tenantId('globex') }),
      world.request(2),
      world.request(2, { tenantId: tenantId('globex') }),
    ]);
    expect(world.refused()).toEqual([]);
    expect(world.feedback().map((one) => `${one.tenantId} ${one.messageId}`)).toEqual([
      `acme ${idOf(1)}`,
      `globex ${idOf(1)}`,
      `acme ${idOf(2)}`,
      `globex ${idOf(2)}`,
    ]);
    const [a, b] = world.feedback();
    expect(a?.recipientHash).not.toBe(b?.recipientHash);
  });

  test('whose time has not come is parked before any money is reserved', async () => {
    const world = await deliveryWorld();
    const notBefore = world.clock.now() + 3_600_000;
    await world.send([world.request(1, { notBefore })]);
    expect(world.driver.read(world.lane.parked)).toMatchObject([
      { until: notBefore, why: 'not_before', routed: null },
    ]);
    expect(world.ledger.pending).toEqual([]);
    expect(world.driver.read(world.lane.deduped)).toEqual([]);
  });

  test('that cannot be paid for is refused with its key freed: sent again after a grant, it passes', async () => {
    const world = await deliveryWorld();
    const poor = (n: number) => world.request(n, { businessLine: 'poor' });
    await world.send([poor(1), poor(2), poor(3)]);
    expect(world.refused()).toMatchObject([
      { messageId: idOf(3), reason: 'budget_cash', retryable: true, settlement: { kind: 'none' } },
    ]);
    world.ledger.grant('acme/poor', 1_000_000n);
    await world.send([poor(3)]);
    expect(world.refused()).toHaveLength(1);
    expect(world.providers.calls).toHaveLength(3);
    world.settle();
    expect(world.ledger.unbalanced).toEqual([]);
  });
});

describe('without Redis, a key that comes to the same partition', () => {
  const keyed = { idempotencyKey: 'order-1' };

  test('is not delivered twice where Redis is emptied mid-stream, nor after a restart', async () => {
    const world = await deliveryWorld();
    const orders = (from: number) =>
      Array.from({ length: 20 }, (_, n) =>
        world.request(from + n, { idempotencyKey: `order-${n.toString()}` }),
      );
    await world.send(orders(0).slice(0, 12));
    world.firstSeen.flush();
    // New messages with the keys of old ones: the ledger, which knows messages, cannot tell.
    await world.send(orders(100));
    world.firstSeen.flush();
    await world.driver.restart();
    await world.send(orders(200));
    expect(world.providers.calls).toHaveLength(20);
    expect(world.refused().map(({ reason }) => reason)).toEqual(Array(32).fill('duplicate'));
  });

  test('is not refused as its own duplicate where its batch is aborted and read again', async () => {
    const world = await deliveryWorld();
    world.firstSeen.away = true;
    world.driver.abortNext();
    await world.send([world.request(1, keyed), world.request(2, keyed)]);
    expect(world.refused()).toMatchObject([{ messageId: idOf(2), reason: 'duplicate' }]);
    expect(world.providers.calls).toHaveLength(1);
  });

  test('is not paid twice where the same message comes with another day’s createdAt', async () => {
    const world = await deliveryWorld();
    world.firstSeen.away = true;
    await world.send([world.request(1)]);
    await world.driver.advance(16 * 3_600_000);
    await world.send([world.request(1)]);
    world.settle();
    expect(world.refused()).toMatchObject([{ reason: 'duplicate', firstMessageId: idOf(1) }]);
    expect(world.ledger.account('acme/orders').cash.posted).toBe(45_000n);
  });

  test('may come again after a retryable refusal further down the chain', async () => {
    const world = await deliveryWorld();
    world.firstSeen.away = true;
    const poor = (n: number) => world.request(n, { businessLine: 'poor' });
    await world.send([poor(1), poor(2), poor(3)]);
    expect(world.refused()).toMatchObject([{ messageId: idOf(3), reason: 'budget_cash' }]);
    await world.driver.restart();
    world.ledger.grant('acme/poor', 1_000_000n);
    await world.send([poor(3)]);
    expect(world.providers.calls).toHaveLength(3);
    await world.send([poor(3)]);
    expect(world.refused().at(-1)).toMatchObject({ messageId: idOf(3), reason: 'duplicate' });
  });

  test('is free again once 24 h and the rest of an hour have passed', async () => {
    const world = await deliveryWorld();
    world.firstSeen.away = true;
    await world.send([world.request(1, keyed)]);
    await world.driver.advance(24 * 3_600_000 - 1);
    await world.send([world.request(2, keyed)]);
    await world.driver.advance(3_600_000 + 1);
    await world.send([world.request(3, keyed)]);
    expect(world.refused()).toMatchObject([{ messageId: idOf(2), reason: 'duplicate' }]);
    expect(world.providers.calls).toHaveLength(2);
  });

  test('costs one changelog record a transaction and partition, 16 bytes a message', async () => {
    const world = await deliveryWorld();
    await world.send(Array.from({ length: 50 }, (_, n) => world.request(n)));
    const written = world.driver.log.all('internal.dedupe.p1');
    expect(written).toHaveLength(1);
    expect(written[0]?.value).toHaveLength(4 + 8 + 50 * 16);
  });
});

describe('a provider', () => {
  test('that fails is tried again after 5 s and 30 s by the clock, and the message ends once', async () => {
    const answers: Outcome[] = [failing, failing, ACCEPTED];
    const world = await deliveryWorld({ script: () => answers.shift() ?? failing });
    await world.send([world.request(1)]);
    await world.driver.advance(4_999);
    expect(world.providers.calls).toHaveLength(1);
    await world.driver.advance(1);
    expect(world.providers.calls).toHaveLength(2);
    await world.driver.advance(29_999);
    expect(world.providers.calls).toHaveLength(2);
    await world.driver.advance(1);
    expect(
      world.feedback().map(({ attempt, state, settlement }) => [attempt, state, settlement.kind]),
    ).toEqual([
      [1, 'failed', 'none'],
      [2, 'failed', 'none'],
      [3, 'accepted', 'post'],
    ]);
    await world.drain();
    expect(world.feedback()).toHaveLength(3);
    expect(world.ledger.pending).toEqual([]);
  });

  test('that goes on failing is left for the next one; when all have failed the money comes back', async () => {
    const world = await deliveryWorld({ script: () => failing });
    await world.send([world.request(1)]);
    await world.drain();
    expect(world.providers.calls.map(({ provider }) => provider.name)).toEqual([
      ...Array.from({ length: 3 }, () => 'first'),
      ...Array.from({ length: 3 }, () => 'second'),
    ]);
    const ends = world.feedback().filter(({ terminal }) => terminal);
    expect(ends).toMatchObject([{ attempt: 6, state: 'failed', settlement: { kind: 'void' } }]);
    expect(world.ledger.account('acme/orders').cash).toMatchObject({ pending: 0n, posted: 0n });
    expect(world.ledger.unbalanced).toEqual([]);
  });

  test('whose carrier reports an acceptance as failed has it paid back, once', async () => {
    const world = await deliveryWorld();
    await world.send([world.request(1)]);
    world.settle();
    await world.driver.pipe(world.topics.receipts, [
      reportOn(world, 'failed'),
      reportOn(world, 'failed'),
    ]);
    await world.drain();
    expect(world.feedback().map(({ state, settlement }) => [state, settlement.kind])).toEqual([
      ['accepted', 'post'],
      ['failed', 'reverse'],
    ]);
    expect(world.ledger.account('acme/orders').cash).toMatchObject({ pending: 0n, posted: 0n });
  });
});

const reportOn = (
  world: DeliveryWorld,
  state: ProviderReceipt['state'],
): { key: string; value: ProviderReceipt } => ({
  key: 'user-1',
  value: {
    provider: 'first',
    channel: 'sms',
    origin: 'carrier',
    attempt: { tenantId: tenantId('acme'), messageId: idOf(1), generation: 0, attempt: 1 },
    providerMessageId: null,
    state,
    class: state === 'failed' ? 'recipient' : null,
    providerCode: null,
    units: null,
    reportedAt: world.clock.now(),
    receivedAt: world.clock.now(),
    deferrals: 0,
    dueAt: null,
  },
});

describe('a crash', () => {
  test('that aborts transactions loses and repeats nothing', async () => {
    const world = await deliveryWorld();
    for (let n = 1; n <= 5; n++) {
      world.driver.abortNext();
      await world.send([world.request(n)]);
    }
    expect(world.feedback().map(({ messageId }) => messageId)).toEqual([1, 2, 3, 4, 5].map(idOf));
    expect(world.refused()).toEqual([]);
    expect(world.providers.repeated).toEqual([]);
    world.settle();
    expect(world.ledger.account('acme/orders').cash.posted).toBe(225_000n);
    expect(world.ledger.unbalanced).toEqual([]);
  });

  test('between claim and call ends as held, and the provider is never asked', async () => {
    const world = await deliveryWorld();
    world.driver.dieBeforeCalls();
    await world.send([world.request(1)]);
    expect(world.feedback()).toEqual([]);
    await world.driver.restart();
    expect(world.feedback()).toMatchObject([
      { state: 'held', terminal: false, class: 'timeout', settlement: { kind: 'none' } },
    ]);
    expect(world.driver.records(world.topics.unknown)).toHaveLength(1);
    await world.driver.restart();
    await world.drain();
    expect(world.providers.calls).toEqual([]);
    expect(world.feedback()).toHaveLength(1);
    expect(world.ledger.pending).toEqual([`acme|${idOf(1)}|0`]);
  });

  test('whose message a carrier reports on after all is settled by that report', async () => {
    const world = await deliveryWorld();
    world.driver.dieBeforeCalls();
    await world.send([world.request(1)]);
    await world.driver.restart();
    world.settle();
    await world.driver.pipe(world.topics.receipts, [reportOn(world, 'delivered')]);
    world.settle();
    expect(world.feedback().at(-1)).toMatchObject({
      state: 'delivered',
      terminal: true,
      settlement: { kind: 'post', cashMicros: 45_000n },
    });
    expect(world.ledger.pending).toEqual([]);
    expect(world.driver.log.all('internal.unknown').at(-1)?.value).toBeNull();
  });

  test('where the provider dedupes is asked again under the same key, and ends once', async () => {
    const world = await deliveryWorld();
    world.driver.dieBeforeCalls();
    await world.send([world.request(1, { channels: ['app_push'] })]);
    await world.driver.restart();
    await world.drain();
    expect(
      world.feedback().map(({ state, attempt, terminal }) => [attempt, state, terminal]),
    ).toEqual([
      [1, 'unknown', false],
      [2, 'accepted', true],
    ]);
    expect(world.ledger.account('acme/orders').cash).toMatchObject({ pending: 0n, posted: 2_000n });
  });
});

describe('a record that cannot be decided', () => {
  test('goes to dead-letters whole, and a refusal gives its money back; others go on', async () => {
    // app_push was configured after the worker started: nothing reads its topic yet.
    const world = await deliveryWorld({ channels: ['sms'] });
    await world.send([world.request(1, { channels: ['app_push'] }), world.request(2)]);
    const [letter] = world.driver.log.all('dead-letters');
    expect(letter?.headers[DEAD_LETTER_HEADERS.stage]?.toString()).toBe('route');
    expect(letter?.headers[DEAD_LETTER_HEADERS.topic]?.toString()).toBe('ingest.p1');
    expect(letter?.value).toEqual(world.driver.log.all('ingest.p1')[0]?.value);
    expect(world.refused()).toMatchObject([
      { messageId: idOf(1), reason: 'internal', settlement: { kind: 'void', cashMicros: 2_000n } },
    ]);
    expect(world.feedback()).toMatchObject([{ messageId: idOf(2) }]);
    world.settle();
    expect(world.ledger.pending).toEqual([]);
  });

  test.each([
    ['an empty value', null, 'tombstone'],
    ['bytes without a frame', Buffer.from('hello, world'), 'not_framed'],
    ['a frame around nonsense', Buffer.from([0, 0, 0, 0, 3, 0xff, 0xff]), 'undecodable'],
  ])('as it is %s goes to dead-letters with its coordinates', async (_what, value, code) => {
    const world = await deliveryWorld();
    const ingest = 'ingest.p1';
    world.driver.write({ topic: ingest, partition: 1, key: 'k', value });
    world.driver.write({
      topic: ingest,
      partition: 1,
      key: 'k',
      value: world.lane.ingest.all[0]?.codec.encode(world.request(1)) ?? null,
    });
    await world.driver.settle();
    const letters = world.driver.log.all('dead-letters');
    expect(letters).toHaveLength(1);
    const header = (name: keyof typeof DEAD_LETTER_HEADERS) =>
      letters[0]?.headers[DEAD_LETTER_HEADERS[name]]?.toString();
    expect([header('topic'), header('partition'), header('offset')]).toEqual([ingest, '1', '0']);
    if (code !== 'undecodable') expect(header('code')).toBe(code);
    expect(letters[0]?.value).toEqual(value);
    expect(world.feedback()).toHaveLength(1);
  });
});

test('neither feedback nor refusals nor windows carry a canary: no phone, address, user or code', async () => {
  const answers: Outcome[] = [failing, ACCEPTED];
  const world = await deliveryWorld({ script: () => answers.shift() ?? failing });
  await world.send([
    world.request(1),
    world.request(1),
    world.request(2, { businessLine: 'nobody' }),
    world.request(3, { channels: ['fax'] }),
    world.request(4, { templateId: 'unknown' }),
    world.request(5, { expiresAt: world.clock.now() - 1, createdAt: world.clock.now() - 2 }),
  ]);
  world.driver.dieBeforeCalls();
  await world.send([world.request(6)]);
  await world.driver.restart();
  await world.drain();
  expect(world.refused().length).toBeGreaterThanOrEqual(5);
  expect(world.driver.read(world.topics.windows)).not.toEqual([]);
  for (const topic of [
    'feedback',
    'refused',
    'windows',
    'internal.windows.partials',
    'breaker.levels',
  ])
    for (const record of world.driver.log.all(topic)) {
      const bytes = `${record.value?.toString('latin1') ?? ''}${JSON.stringify(record.headers)}`;
      for (const canary of Object.values(CANARIES)) expect(bytes, topic).not.toContain(canary);
    }
});

test('windows count each attempt and each first attempt once, whatever was aborted', async () => {
  let calls = 0;
  const world = await deliveryWorld({ script: () => (++calls % 3 === 0 ? failing : ACCEPTED) });
  for (let n = 1; n <= 12; n++) {
    if (n % 4 === 0) world.driver.abortNext();
    await world.send([world.request(n)], `user-${(n % 5).toString()}`);
  }
  await world.drain();
  const windows = new Map(
    world.driver
      .read(world.topics.windows)
      .filter(({ series }) => series === 'channel')
      .map((one) => [`${one.channel}/${one.provider ?? ''}/${one.windowStart.toString()}`, one]),
  );
  const sum = (field: 'attempts' | 'messages' | 'accepted'): number =>
    [...windows.values()].reduce((total, window) => total + window[field], 0);
  expect(sum('messages')).toBe(12);
  expect(sum('attempts')).toBe(world.providers.calls.length);
  expect(sum('accepted')).toBe(12);
});

// --- any order of requests, aborts, crashes and answers ---------------------------------------------------------

const requests = fc.record({
  n: fc.integer({ min: 1, max: 6 }),
  tenant: fc.constantFrom('acme', 'globex', 'nobody'),
  line: fc.constantFrom('orders', 'orders', 'poor'),
  channel: fc.constantFrom('sms', 'app_push', 'fax'),
  later: fc.constantFrom(false, false, false, true),
  key: fc.constantFrom('user-1', 'user-2', null),
});
const steps = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .array(requests, { minLength: 1, maxLength: 4 })
      .map((of) => ({ do: 'send' as const, of })),
  },
  { weight: 2, arbitrary: fc.constant({ do: 'abort' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'die' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'restart' as const }) },
  {
    weight: 2,
    arbitrary: fc.integer({ min: 1, max: 120_000 }).map((by) => ({ do: 'advance' as const, by })),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'redis' as const }) },
);
const outcomes: readonly Outcome[] = [
  ACCEPTED,
  ACCEPTED,
  failing,
  { kind: 'failed.recipient', providerCode: 'x' },
  { kind: 'failed.account', providerCode: 'x' },
  { kind: 'throttled', retryAfterMs: 20_000, providerCode: null },
  { kind: 'timeout', providerCode: null },
  { kind: 'not_called' },
];

interface Count {
  written: number;
  ended: number;
}

/** How many records were written of each message, and in how many end states they are. The two must agree. */
const ends = (world: DeliveryWorld): Map<string, Count> => {
  const counts = new Map<string, Count>();
  const count = (
    { tenantId: tenant, messageId: id }: { tenantId: string | null; messageId: string | null },
    what: keyof Count,
  ): void => {
    const name = `${tenant ?? ''}|${id ?? ''}`;
    const of = counts.get(name) ?? { written: 0, ended: 0 };
    of[what] += 1;
    counts.set(name, of);
  };
  for (const request of world.driver.read(world.lane.ingest)) count(request, 'written');
  for (const refusal of world.refused()) count(refusal, 'ended');
  for (const { deduped } of world.driver.read(world.lane.parked))
    if (deduped !== null) count(deduped.request, 'ended');
  for (const one of world.feedback())
    if (one.terminal || one.state === 'accepted' || one.state === 'held') count(one, 'ended');
  return counts;
};

test('any requests, aborts, crashes and answers: each request in exactly one end state, the ledger balanced', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(steps, { minLength: 1, maxLength: 14 }),
      fc.array(fc.constantFrom(...outcomes), { minLength: 1, maxLength: 12 }),
      async (plan, answers) => {
        let call = 0;
        // In the end the provider recovers: a message that is never called would wait until it expires.
        const script = (): Outcome =>
          (call < 24 ? answers[call++ % answers.length] : undefined) ?? ACCEPTED;
        const world = await deliveryWorld({ script });
        for (const step of plan) {
          switch (step.do) {
            case 'send':
              for (const { n, tenant, line, channel, later, key } of step.of)
                await world.send(
                  [
                    world.request(n, {
                      tenantId: tenantId(tenant),
                      businessLine: line,
                      channels: [channel],
                      notBefore: later ? world.clock.now() + 86_400_000 : null,
                    }),
                  ],
                  key,
                );
              break;
            case 'abort':
              world.driver.abortNext();
              break;
            case 'die':
              world.driver.dieBeforeCalls();
              break;
            case 'restart':
              await world.driver.restart();
              break;
            case 'advance':
              await world.driver.advance(step.by);
              break;
            case 'redis':
              world.firstSeen.away = !world.firstSeen.away;
          }
          // settle runs beside all this, whenever it comes to it
          world.settle();
        }
        await world.driver.restart();
        await world.drain();

        expect([...ends(world)].filter(([, { written, ended }]) => written !== ended)).toEqual([]);
        const refusals = world.refused().map(({ source }) => JSON.stringify(source));
        expect(new Set(refusals).size).toBe(refusals.length);
        expect(world.ledger.unbalanced).toEqual([]);
        expect(world.providers.repeated).toEqual([]);
        const held = new Set(
          world
            .feedback()
            .filter(({ state }) => state === 'held')
            .map((one) => `${one.tenantId}|${one.messageId}|${one.generation.toString()}`),
        );
        expect(world.ledger.pending.filter((key) => !held.has(key))).toEqual([]);
        expect(world.ledger.pending).toHaveLength(held.size);
        expect(world.driver.log.all('dead-letters')).toEqual([]);
      },
    ),
    { numRuns: 30 },
  );
}, 60_000);

test('the configuration that the tests run on is one that an operator could apply', () => {
  expect(TEST_CONFIG.channels.map(({ name }) => name)).toEqual(['sms', 'app_push']);
});
