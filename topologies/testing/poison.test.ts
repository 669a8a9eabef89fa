import { expect, test, vi } from 'vitest';
import { PipelineError } from '../../schemas/error.js';
import { DEAD_LETTER_HEADERS } from '../runtime/dead-letters.js';
import { deliveryWorld, type DeliveryWorld, type WorldOptions } from './delivery-world.js';
import { idOf } from './fixtures.js';

/*
 * One record that can never be processed, between two that can: it becomes a dead letter with its coordinates, its
 * producer is told, no money stays reserved, and the others are delivered.
 */

interface Poison {
  readonly it: string;
  readonly options?: WorldOptions;
  /** What makes the second record poison. */
  readonly brew: (world: DeliveryWorld) => void;
  readonly request?: Parameters<DeliveryWorld['request']>[1];
  readonly stage: string;
  readonly code: string;
}

/** Throws for the poison record as `decide` would for a defect. */
const defectFor = (world: DeliveryWorld): void => {
  const reserve = world.ledger.reserve.bind(world.ledger);
  vi.spyOn(world.ledger, 'reserve').mockImplementation(async (batch) =>
    (await reserve(batch)).map((decision, index) =>
      // No such kind: what decide makes of it is a defect of ours.
      batch[index]?.messageId === idOf(2) ? (null as never) : decision,
    ),
  );
};

test.each<Poison>([
  {
    it: 'Postgres refuses its row',
    brew: (world) => {
      const reserve = world.ledger.reserve.bind(world.ledger);
      vi.spyOn(world.ledger, 'reserve').mockImplementation((batch) =>
        batch.some(({ messageId }) => messageId === idOf(2))
          ? Promise.reject(new PipelineError('row_refused', 'SQLSTATE 22003'))
          : reserve(batch),
      );
    },
    stage: 'budget-reserve',
    code: 'row_refused',
  },
  { it: 'decide throws', brew: defectFor, stage: 'budget-reserve', code: 'undecidable' },
  {
    it: 'its channel has no topic',
    options: { channels: ['sms'] },
    brew: () => undefined,
    request: { channels: ['app_push'] },
    stage: 'route',
    code: 'undecidable',
  },
  {
    it: 'what budget-reserve writes is too large',
    options: { limits: new Map([['reserved.p1', 4_000]]) },
    brew: () => undefined,
    request: { params: { code: 'x'.repeat(4_000) } },
    stage: 'budget-reserve',
    code: 'output_too_large',
  },
  {
    it: 'what route writes is too large',
    options: { limits: new Map([['routed.sms.p1', 4_000]]) },
    brew: () => undefined,
    request: { params: { code: 'x'.repeat(4_000) } },
    stage: 'route',
    code: 'output_too_large',
  },
])('$it: a dead letter with coordinates, money returned, the others go on', async (poison) => {
  const world = await deliveryWorld(poison.options ?? {});
  poison.brew(world);
  await world.send([world.request(1), world.request(2, poison.request), world.request(3)]);
  world.settle();

  const [letter, ...more] = world.driver.log.all('dead-letters');
  expect(more).toEqual([]);
  const header = (name: string) => letter?.headers[name]?.toString();
  const [, original] = world.driver.records(world.lane.ingest);
  expect(letter?.value).toEqual(original?.raw.value);
  expect({
    topic: header(DEAD_LETTER_HEADERS.topic),
    partition: header(DEAD_LETTER_HEADERS.partition),
    offset: header(DEAD_LETTER_HEADERS.offset),
    stage: header(DEAD_LETTER_HEADERS.stage),
    code: header(DEAD_LETTER_HEADERS.code),
  }).toEqual({
    topic: 'ingest.p1',
    partition: original?.raw.at.partition.toString(),
    offset: original?.raw.at.offset.toString(),
    stage: poison.stage,
    code: poison.code,
  });
  expect(world.refused()).toMatchObject([{ messageId: idOf(2), reason: 'internal' }]);
  expect(world.feedback().map(({ messageId }) => messageId)).toEqual([idOf(1), idOf(3)]);
  expect(world.ledger.pending).toEqual([]);
  expect(world.ledger.unbalanced).toEqual([]);
  expect(world.ledger.account('acme/orders').cash.posted).toBe(90_000n);
});

test('a duplicate that meets a defect leaves alone what the first record reserved', async () => {
  const world = await deliveryWorld();
  world.firstSeen.away = true;
  // The first is claimed and its outcome open: its money is pending.
  world.driver.dieBeforeCalls();
  await world.send([world.request(2)]);
  defectFor(world);
  // By another key, of the other partition: its own partition's set of ids would catch it before the ledger is asked.
  await world.send([world.request(2)], 'user-2');
  world.settle();
  expect(world.refused()).toMatchObject([
    { messageId: idOf(2), reason: 'internal', settlement: { kind: 'none' } },
  ]);
  expect(world.ledger.pending).toEqual([`acme|${idOf(2)}|0`]);
});

test('a dependency that is away buries nobody: the batch waits, and nothing is skipped', async () => {
  const world = await deliveryWorld();
  const reserve = world.ledger.reserve.bind(world.ledger);
  const spy = vi
    .spyOn(world.ledger, 'reserve')
    .mockRejectedValue(new PipelineError('postgres_unavailable', 'gone'));
  await expect(world.send([world.request(1), world.request(2)])).rejects.toMatchObject({
    code: 'postgres_unavailable',
  });
  expect(world.driver.log.all('dead-letters')).toEqual([]);
  spy.mockImplementation(reserve);
  await world.driver.settle();
  world.settle();
  expect(world.feedback().map(({ messageId }) => messageId)).toEqual([idOf(1), idOf(2)]);
  expect(world.driver.log.all('dead-letters')).toEqual([]);
});

test('a record whose refusal cannot be written either is still a dead letter, and the others go on', async () => {
  const world = await deliveryWorld({
    limits: new Map([
      ['routed.sms.p1', 4_000],
      ['refused', 100],
    ]),
  });
  await world.send([world.request(1, { params: { code: 'x'.repeat(4_000) } }), world.request(2)]);
  const [letter] = world.driver.log.all('dead-letters');
  expect(letter?.headers[DEAD_LETTER_HEADERS.code]?.toString()).toBe('output_too_large');
  expect(letter?.headers[DEAD_LETTER_HEADERS.message]?.toString()).toContain('refused');
  expect(world.feedback().map(({ messageId }) => messageId)).toEqual([idOf(2)]);
});
