import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { reentryHeaders } from '../processors/reentry/headers.js';
import type { Outcome } from '../processors/send/outcomes.js';
import { messageId } from '../schemas/brand.js';
import { PipelineError } from '../schemas/error.js';
import type { MessageDeduped } from '../schemas/generated/records.js';
import type { Coordinates, Topic } from '../schemas/record.js';
import { type DeliveryWorld, deliveryWorld } from './testing/delivery-world.js';
import { TEST_CONFIG, configRecords, idOf } from './testing/fixtures.js';
import { ACCEPTED } from './testing/memory-ports.js';

const HOUR_MS = 3_600_000;
/** Not a whole hour: the schedule keeps hours apart. */
const AHEAD_MS = 1.5 * HOUR_MS;
const failing: Outcome = { kind: 'failed.provider', providerCode: '500' };

interface Back {
  readonly origin: Coordinates;
  readonly generation?: number;
  readonly releaseNo?: number;
  readonly startedAt?: number;
}

/** Puts a record on `again.*` as `reenter` does; what tools may do twice, tests do twice. */
const putBack = async <V>(
  world: DeliveryWorld,
  topic: Topic<V>,
  records: readonly { readonly value: V; readonly key: string; readonly about: Back }[],
): Promise<void> => {
  for (const { value, key, about } of records)
    world.driver.write({
      topic: topic.name,
      partition: null,
      key,
      value: topic.codec.encode(value),
      headers: reentryHeaders({
        runId: 'run-1',
        startedAt: about.startedAt ?? world.clock.now(),
        reason: 'a test',
        generation: about.generation ?? 0,
        releaseNo: about.releaseNo ?? 0,
        origin: about.origin,
      }),
    });
  await world.driver.settle();
};

/** All that lies on every topic that replay knows, put back as it is. */
const replayEverything = async (world: DeliveryWorld): Promise<number> => {
  const { again, ingest, deduped, reserved, routed, retry } = world.lane;
  const from = <V>(topic: Parameters<typeof world.driver.records<V>>[0]) =>
    world.driver.records(topic).map(({ raw, value }) => ({
      value,
      key: raw.key?.toString() ?? '',
      about: { origin: raw.at },
    }));
  const batches = {
    request: from(ingest),
    deduped: from(deduped),
    reserved: from(reserved),
    routed: [...from(routed), ...from(retry)],
  };
  await putBack(world, again.request, batches.request);
  await putBack(world, again.deduped, batches.deduped);
  await putBack(world, again.reserved, batches.reserved);
  await putBack(world, again.routed, batches.routed);
  return Object.values(batches).reduce((sum, { length }) => sum + length, 0);
};

/** What was asked of carriers, said to producers, and booked. */
const effects = (world: DeliveryWorld) => {
  world.settle();
  const { cash, units } = world.ledger.account('acme/orders');
  return {
    calls: world.providers.calls.map(({ reference }) => reference),
    feedback: world.feedback().map(({ feedbackId }) => feedbackId),
    refused: world.refused().length,
    cash: { ...cash },
    units: { ...units },
  };
};

describe('a message parked until its notBefore', () => {
  test('comes back at that time and not before, is paid for then, and sent once', async () => {
    const world = await deliveryWorld();
    await world.send([world.request(1, { notBefore: world.clock.now() + AHEAD_MS })], 'user-7');
    await world.driver.advance(AHEAD_MS - 1);
    expect(world.providers.calls).toEqual([]);
    expect(world.ledger.pending).toEqual([]);
    await world.driver.advance(1);
    expect(world.feedback()).toMatchObject([
      { messageId: idOf(1), generation: 0, state: 'accepted', attempt: 1 },
    ]);
    const [deduped] = world.driver.records(world.lane.deduped);
    expect(deduped?.raw.key?.toString()).toBe('user-7');
    await world.driver.advance(HOUR_MS);
    expect(world.providers.calls).toHaveLength(1);
    world.settle();
    expect(world.ledger.account('acme/orders').cash).toMatchObject({
      pending: 0n,
      posted: 45_000n,
    });
  });

  test('survives restarts while it waits, and is not scheduled twice by them', async () => {
    const world = await deliveryWorld();
    await world.send([world.request(1, { notBefore: world.clock.now() + HOUR_MS })]);
    await world.driver.restart();
    await world.driver.advance(HOUR_MS / 2);
    await world.driver.restart();
    await world.driver.advance(HOUR_MS);
    await world.driver.restart();
    await world.driver.advance(HOUR_MS);
    expect(world.providers.calls).toHaveLength(1);
  });

  test('whose worker dies between taking it off the schedule and reading it again is read by the next', async () => {
    const world = await deliveryWorld();
    await world.send([world.request(1, { notBefore: world.clock.now() + HOUR_MS })]);
    world.driver.dieBeforeCalls();
    await world.driver.advance(HOUR_MS);
    expect(world.driver.read(world.lane.again.deduped)).toEqual([]);
    await world.driver.restart();
    expect(world.driver.read(world.lane.again.deduped)).toHaveLength(1);
    expect(world.providers.calls).toHaveLength(1);
  });

  test('released a second time, by hand, is let in once', async () => {
    const world = await deliveryWorld();
    await world.send([world.request(1, { notBefore: world.clock.now() + HOUR_MS })]);
    await world.driver.advance(HOUR_MS);
    const [parked] = world.driver.records(world.lane.parked);
    const [released] = world.driver.records(world.lane.again.deduped);
    if (parked === undefined || released === undefined) throw new Error('nothing was released');
    await putBack(world, world.lane.again.deduped, [
      { value: released.value, key: 'user-1', about: { origin: parked.raw.at, releaseNo: 1 } },
    ]);
    expect(world.providers.calls).toHaveLength(1);
    expect(world.refused()).toEqual([]);
  });

  test('released and routed, and still under way when it is replayed and released again, is sent once an attempt', async () => {
    const answers: Outcome[] = [failing, ACCEPTED];
    const world = await deliveryWorld({ script: () => answers.shift() ?? failing });
    await world.send([world.request(1, { notBefore: world.clock.now() + HOUR_MS })]);
    await world.driver.advance(HOUR_MS);
    const before = effects(world);
    expect(before.calls).toHaveLength(1);
    expect(before.cash.pending).toBeGreaterThan(0n);
    // All but what is parked: the request, deduped, reserved, routed and its retry.
    expect(await replayEverything(world)).toBe(5);
    const [parked] = world.driver.records(world.lane.parked);
    const [released] = world.driver.records(world.lane.again.deduped);
    if (parked === undefined || released === undefined) throw new Error('nothing was released');
    await putBack(world, world.lane.again.deduped, [
      { value: released.value, key: 'user-1', about: { origin: parked.raw.at, releaseNo: 1 } },
    ]);
    expect(effects(world)).toEqual(before);
    await world.drain();
    expect(world.feedback().map(({ attempt, state }) => [attempt, state])).toEqual([
      [1, 'failed'],
      [2, 'accepted'],
    ]);
    expect(effects(world)).toMatchObject({ refused: 0, cash: { pending: 0n, posted: 45_000n } });
  });

  test('parked twice because Redis was away is sent once, and the second record has its end: a duplicate', async () => {
    const world = await deliveryWorld();
    world.firstSeen.away = true;
    const request = world.request(1, { notBefore: world.clock.now() + HOUR_MS });
    await world.send([request]);
    // By another key, of the other partition: its own partition's set of ids would catch it before it is parked.
    await world.send([request], 'user-2');
    expect(world.driver.read(world.lane.parked)).toHaveLength(2);
    await world.driver.advance(HOUR_MS);
    expect(world.providers.calls).toHaveLength(1);
    expect(world.refused()).toMatchObject([{ reason: 'duplicate', firstMessageId: idOf(1) }]);
  });

  test('whatever is aborted, dies or restarts meanwhile: each sent once, never early', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 2 * HOUR_MS }), { minLength: 1, maxLength: 30 }),
        fc.array(fc.constantFrom('abort', 'die', 'restart', 'advance', 'advance'), {
          maxLength: 15,
        }),
        async (aheads, steps) => {
          const early: string[] = [];
          const world: DeliveryWorld = await deliveryWorld({
            script: ({ routed, reference }) => {
              const { notBefore } = routed.reserved.deduped.request;
              if ((notBefore ?? 0) > world.clock.now()) early.push(reference);
              return ACCEPTED;
            },
          });
          const start = world.clock.now();
          await world.send(
            aheads.map((ahead, n) => world.request(n, { notBefore: start + ahead })),
          );
          for (const step of steps) {
            if (step === 'abort') world.driver.abortNext();
            else if (step === 'die') world.driver.dieBeforeCalls();
            else if (step === 'restart') await world.driver.restart();
            else await world.driver.advance(HOUR_MS / 5);
          }
          await world.driver.restart();
          await world.driver.advance(3 * HOUR_MS);
          for (let i = 0; i < 3; i++) await world.driver.advance(1_000);
          world.settle();
          expect(early).toEqual([]);
          expect(world.providers.repeated).toEqual([]);
          // A claim whose call was never made is held, not sent: it is one of the ends, and counted by its feedback.
          const ended = new Set(world.feedback().map(({ messageId }) => messageId));
          expect(ended.size).toBe(aheads.length);
          expect(world.driver.read(world.lane.again.deduped)).toHaveLength(aheads.length);
          expect(world.ledger.unbalanced).toEqual([]);
        },
      ),
      { numRuns: 15 },
    );
  });
});

describe('a replay neither sends nor debits again', () => {
  test('of messages older than the dedupe span', async () => {
    const world = await deliveryWorld();
    await world.send([1, 2, 3].map((n) => world.request(n)));
    await world.drain();
    await world.driver.advance(30 * HOUR_MS);
    const before = effects(world);
    expect(before.calls).toHaveLength(3);
    expect(await replayEverything(world)).toBe(12);
    await world.drain();
    expect(effects(world)).toEqual(before);
  });

  test('while their retries are still running: the retries go on, and nothing else does', async () => {
    const answers: Outcome[] = [failing, failing, ACCEPTED];
    const world = await deliveryWorld({ script: () => answers.shift() ?? failing });
    await world.send([world.request(1)]);
    await world.driver.advance(5_000);
    const before = effects(world);
    expect(before.calls).toHaveLength(2);
    expect(before.cash.pending).toBeGreaterThan(0n);
    await replayEverything(world);
    expect(effects(world)).toEqual(before);
    await world.driver.advance(30_000);
    expect(world.feedback().map(({ attempt, state }) => [attempt, state])).toEqual([
      [1, 'failed'],
      [2, 'failed'],
      [3, 'accepted'],
    ]);
    await world.drain();
    expect(world.providers.calls).toHaveLength(3);
    expect(effects(world).cash).toMatchObject({ pending: 0n, posted: 45_000n });
  });

  test('of records whose day the ledger has detached', async () => {
    const world = await deliveryWorld();
    await world.send([1, 2].map((n) => world.request(n)));
    await world.drain();
    await world.driver.advance(72 * HOUR_MS);
    // All that the ledger knew of them is gone: a reservation would be made anew.
    world.ledger.forgetRows();
    world.passes.detachedBefore = world.clock.now() - HOUR_MS;
    const before = effects(world);
    await replayEverything(world);
    await world.drain();
    expect(effects(world)).toEqual(before);
  });

  test('of what another run has put back before, at once or later', async () => {
    const world = await deliveryWorld();
    world.settle();
    const lost: MessageDeduped = {
      request: world.request(1),
      generation: 0,
      key: 'user-1',
      dedupedAt: world.clock.now(),
    };
    const origin = { topic: 'deduped.p1', partition: 0, offset: 7 };
    const one = { value: lost, key: 'user-1', about: { origin } };
    await putBack(world, world.lane.again.deduped, [one, one]);
    expect(world.providers.calls).toHaveLength(1);
    world.settle();
    await putBack(world, world.lane.again.deduped, [one]);
    await replayEverything(world);
    await world.drain();
    expect(world.providers.calls).toHaveLength(1);
    expect(world.refused()).toEqual([]);
  });
});

describe('what comes back', () => {
  test('waits at the end of its topic until the message index has passed the run’s start', async () => {
    const world = await deliveryWorld();
    world.settle();
    world.clock.advance(1_000);
    const value = {
      request: world.request(1),
      generation: 0,
      key: 'user-1',
      dedupedAt: world.clock.now(),
    };
    const origin = { topic: 'deduped.p1', partition: 0, offset: 7 };
    let looks = 0;
    const { admit } = world.passes;
    world.passes.admit = (batch) => {
      if (++looks === 3) world.settle();
      return admit(batch);
    };
    await putBack(world, world.lane.again.deduped, [{ value, key: 'user-1', about: { origin } }]);
    expect(looks).toBe(3);
    expect(world.driver.read(world.lane.again.deduped)).toHaveLength(3);
    expect(world.providers.calls).toHaveLength(1);
  });

  test('under the next generation is paid for and sent again, once however often it was put back', async () => {
    const world = await deliveryWorld();
    await world.send([world.request(1)]);
    await world.drain();
    const [first] = world.driver.records(world.lane.deduped);
    if (first === undefined) throw new Error('nothing was deduped');
    const one = {
      value: { ...first.value, generation: 1 },
      key: 'user-1',
      about: { origin: first.raw.at, generation: 1 },
    };
    await putBack(world, world.lane.again.deduped, [one, one]);
    await world.drain();
    await putBack(world, world.lane.again.deduped, [one]);
    await world.drain();
    expect(
      world.feedback().map(({ generation, attempt, state }) => [generation, attempt, state]),
    ).toEqual([
      [0, 1, 'accepted'],
      [1, 1, 'accepted'],
    ]);
    const keys = world.providers.calls.map(({ idempotencyKey }) => idempotencyKey);
    expect(new Set(keys).size).toBe(2);
    expect(new Set(world.feedback().map(({ feedbackId }) => feedbackId)).size).toBe(2);
    expect(world.ledger.account('acme/orders').cash).toMatchObject({
      pending: 0n,
      posted: 90_000n,
    });
  });

  test('as a request is judged as dedupe would, except by its age', async () => {
    const world = await deliveryWorld();
    world.settle();
    const old = { createdAt: world.clock.now() - 48 * HOUR_MS };
    const origin = { topic: 'ingest.p1', partition: 0, offset: 3 };
    const about = { origin, generation: 1 };
    await putBack(world, world.lane.again.request, [
      { value: world.request(1, old), key: 'user-1', about },
      { value: world.request(2, { templateId: 'gone' }), key: 'user-1', about },
    ]);
    expect(world.feedback()).toMatchObject([{ messageId: idOf(1), generation: 1 }]);
    expect(world.refused()).toMatchObject([
      { messageId: idOf(2), generation: 1, reason: 'unknown_template' },
    ]);
  });

  test.each<[string, Partial<typeof TEST_CONFIG>]>([
    [
      'unknown_template',
      { templates: TEST_CONFIG.templates.map((one) => ({ ...one, id: 'new' })) },
    ],
    ['unknown_tenant', { tenants: TEST_CONFIG.tenants.filter(({ id }) => id !== 'acme') }],
    [
      'lane_not_allowed',
      { tenants: TEST_CONFIG.tenants.map((one) => ({ ...one, lanes: ['p0'] as const })) },
    ],
  ])('having reserved, aborted and read again as %s, gets its money back', async (reason, gone) => {
    const world = await deliveryWorld();
    world.settle();
    const reserve = world.ledger.reserve;
    const answerLost = vi.spyOn(world.ledger, 'reserve').mockImplementation(async (batch) => {
      await reserve(batch);
      throw new PipelineError('postgres_unavailable', 'the answer was lost');
    });
    const origin = { topic: 'ingest.p1', partition: 0, offset: 3 };
    const about = { origin, generation: 1 };
    const one = { value: world.request(1), key: 'user-1', about };
    await expect(putBack(world, world.lane.again.request, [one])).rejects.toMatchObject({
      code: 'postgres_unavailable',
    });
    expect(world.ledger.pending).toHaveLength(1);
    answerLost.mockRestore();
    await world.driver.pipe(
      world.topics.config,
      configRecords({ ...TEST_CONFIG, ...gone }, world.clock.now()),
    );
    expect(world.refused()).toMatchObject([
      { messageId: idOf(1), generation: 1, reason, settlement: { kind: 'void' } },
    ]);
    world.settle();
    expect(world.ledger.pending).toEqual([]);
    expect(world.ledger.unbalanced).toEqual([]);
  });

  test('to send without money of its generation, without its headers, or as no request of ours is a dead letter and sent to nobody', async () => {
    const world = await deliveryWorld();
    await world.send([world.request(1)]);
    await world.drain();
    const [routed] = world.driver.records(world.lane.routed);
    if (routed === undefined) throw new Error('nothing was routed');
    const { reserved } = routed.value;
    const value = {
      ...routed.value,
      reserved: { ...reserved, deduped: { ...reserved.deduped, generation: 1 } },
    };
    await putBack(world, world.lane.again.routed, [
      { value, key: 'user-1', about: { origin: routed.raw.at, generation: 1 } },
      { value, key: 'user-1', about: { origin: routed.raw.at, generation: 2 } },
    ]);
    await world.driver.pipe(world.lane.again.routed, [{ key: 'user-1', value }]);
    const ancient = world.request(2, { createdAt: -8_000_000_000_000_000 });
    await putBack(world, world.lane.again.request, [
      { value: ancient, key: 'user-1', about: { origin: routed.raw.at } },
      {
        value: world.request(3, { messageId: messageId('nobody') }),
        key: 'user-1',
        about: { origin: routed.raw.at },
      },
    ]);
    const codes = world.driver.log
      .all(world.driver.deadLetters)
      .map(({ headers }) => headers['millrace-error-message']?.toString());
    expect(codes.sort()).toEqual([
      expect.stringMatching(/^createdAt is over 62 days old/),
      expect.stringMatching(/^header millrace-run is missing/),
      expect.stringMatching(/^messageId is not a UUID/),
      expect.stringMatching(/^no budget is reserved for generation 1/),
      expect.stringMatching(/^the record is of generation 1, its header says 2/),
    ]);
    expect(world.providers.calls).toHaveLength(1);
  });
});
