import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { idBatchCodec } from '../../schemas/id-batch.js';
import type { Codec } from '../../schemas/record.js';
import { IdSetStore } from './id-set-store.js';

const HOUR = 3_600_000;
const SPAN = 5 * HOUR;
const codec = idBatchCodec() as Codec<unknown>;

const idOf = (...words: readonly number[]): Buffer => {
  const id = Buffer.alloc(16);
  words.forEach((word, index) => id.writeUInt32LE(word, index * 4));
  return id;
};
/** Few places, many ids on each, at both ends of the table: chains of probes that meet and wrap. */
const crowded = fc
  .tuple(fc.constantFrom(0, 1, 0xffff_ffff, 0xffff_fffe), fc.nat(40))
  .map(([place, n]) => idOf(place, 0, 0, n));
const spread = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes));
const id = fc.oneof({ weight: 4, arbitrary: crowded }, { weight: 1, arbitrary: spread });
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .array(id, { maxLength: 40, size: 'max' })
      .map((ids) => ({ do: 'add' as const, ids })),
  },
  { weight: 1, arbitrary: id.map((one) => ({ do: 'forget' as const, one })) },
  { weight: 4, arbitrary: fc.constant({ do: 'commit' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'abort' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'restart' as const }) },
  {
    weight: 2,
    arbitrary: fc
      // 255 hours later an hour has the same tag again.
      .oneof(fc.integer({ min: 1, max: 3 * HOUR }), fc.constant(255 * HOUR))
      .map((by) => ({ do: 'wait' as const, by })),
  },
);

const name = (one: Buffer): string => one.toString('hex');
const isOver = (addedAt: number, now: number): boolean =>
  (Math.floor(addedAt / HOUR) + 1) * HOUR + SPAN <= now;

test('it holds what a map would: any adds, aborts, commits, expiries and restores', () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60, size: 'max' }),
      fc.array(id, { maxLength: 30 }),
      (plan, others) => {
        let store = new IdSetStore(SPAN);
        let now = 1_000 * HOUR;
        const committed = new Map<string, number>();
        const staged = new Map<string, number>();
        const log: Buffer[] = [];
        const asked = new Map(others.map((one) => [name(one), one]));
        for (const one of plan) {
          switch (one.do) {
            case 'add':
              for (const added of one.ids) {
                asked.set(name(added), added);
                if (store.has(added)) continue;
                store.add(added, now);
                staged.set(name(added), now);
              }
              break;
            case 'forget':
              store.forget(one.one);
              staged.delete(name(one.one));
              break;
            case 'commit':
              for (const { value } of store.changelog(codec)) if (value !== null) log.push(value);
              store.apply();
              for (const [added, at] of staged) committed.set(added, at);
              staged.clear();
              break;
            case 'abort':
              store.drop();
              staged.clear();
              break;
            case 'restart': {
              store = new IdSetStore(SPAN);
              staged.clear();
              const restoring = store.restoring(codec, now);
              for (const value of log) restoring.take('', value);
              restoring.done();
              break;
            }
            case 'wait':
              // A transaction is over within seconds: time passes between transactions.
              store.drop();
              staged.clear();
              now += one.by;
              store.expire(now);
              for (const [added, at] of committed) if (isOver(at, now)) committed.delete(added);
          }
          const expected = [...asked.keys()].filter(
            (text) => committed.has(text) || staged.has(text),
          );
          const held = [...asked].flatMap(([text, bytes]) => (store.has(bytes) ? [text] : []));
          expect(held).toEqual(expected);
          expect(store.size).toBe(committed.size);
        }
      },
    ),
    { numRuns: 200 },
  );
});

describe('rule 5', () => {
  test('what is staged shows at once, is written as one record, and lasts only from the commit on', () => {
    const store = new IdSetStore(SPAN);
    store.add(idOf(1), 7 * HOUR);
    store.add(idOf(2), 7 * HOUR + 5);
    store.add(idOf(3), 7 * HOUR + 6);
    store.forget(idOf(3));
    expect([store.has(idOf(1)), store.has(idOf(3)), store.size]).toEqual([true, false, 0]);
    const entries = [...store.changelog(codec)];
    expect(entries.map(({ value }) => value && codec.decode(value))).toEqual([
      { addedAt: 7 * HOUR, ids: Buffer.concat([idOf(1), idOf(2)]) },
    ]);
    store.drop();
    expect(store.has(idOf(1))).toBe(false);
    expect([...store.changelog(codec)]).toEqual([]);
  });

  test('a restore that does not come to its end changes nothing', () => {
    const store = new IdSetStore(SPAN);
    store.add(idOf(1), HOUR);
    store.apply();
    const restoring = store.restoring(codec, HOUR);
    restoring.take('', codec.encode({ addedAt: HOUR, ids: idOf(2) }));
    expect([store.has(idOf(1)), store.has(idOf(2))]).toEqual([true, false]);
    restoring.done();
    expect([store.has(idOf(1)), store.has(idOf(2))]).toEqual([false, true]);
  });
});

test('a restore of more ids than are sorted at a time loses none, and costs no more than 30 bytes an id', () => {
  const store = new IdSetStore(SPAN);
  const restoring = store.restoring(codec, 10 * HOUR);
  const batches = Array.from({ length: 140 }, () => randomBytes(16 * 1_000));
  for (const ids of batches) restoring.take('', codec.encode({ addedAt: 6 * HOUR, ids }));
  // An id that came a second time stays as long as its later hour does.
  for (const ids of batches.slice(130))
    restoring.take('', codec.encode({ addedAt: 8 * HOUR, ids }));
  restoring.done();
  expect(store.size).toBe(140_000);
  expect(store.bytes / store.size).toBeLessThanOrEqual(30);
  const held = (from: number, to: number): number => {
    let count = 0;
    for (const ids of batches.slice(from, to))
      for (let at = 0; at < ids.length; at += 16)
        if (store.has(ids.subarray(at, at + 16))) count += 1;
    return count;
  };
  expect(held(0, 140)).toBe(140_000);
  store.expire(7 * HOUR + SPAN);
  expect([held(0, 130), held(130, 140)]).toEqual([0, 10_000]);
});

test('no size of a table costs more than 30 bytes an id', () => {
  const store = new IdSetStore(SPAN);
  const costs: number[] = [];
  for (let n = 1; n <= 30_000; n++) {
    store.add(randomBytes(16), HOUR);
    store.apply();
    if (n >= 100) costs.push(store.bytes / store.size);
  }
  expect(store.size).toBe(30_000);
  expect(Math.max(...costs)).toBeLessThanOrEqual(30);
});

test('an id of another length is a defect, not another id', () => {
  const store = new IdSetStore(SPAN);
  expect(() => store.has(Buffer.alloc(8))).toThrow('16 bytes, not 8');
  expect(() => {
    store.add(Buffer.alloc(17), 0);
  }).toThrow('16 bytes, not 17');
});
