import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Codec } from '../../schemas/record.js';
import { blockCodec } from './block-codec.js';
import { PackedStore } from './packed-store.js';

const codec: Codec<unknown> = {
  encode: (value) => Buffer.from(JSON.stringify(value)),
  decode: (bytes) => JSON.parse(bytes.toString()) as unknown,
};

/** A changelog partition as Kafka keeps it. */
class Changelog {
  private records: { readonly key: string; readonly value: Buffer | null }[] = [];

  append(records: Iterable<{ readonly key: string; readonly value: Buffer | null }>): void {
    this.records.push(...records);
  }

  /** Keeps the last of each key; after delete.retention.ms not even a tombstone. */
  compact(tombstones: boolean): void {
    const last = new Map(this.records.map(({ key }, index) => [key, index]));
    this.records = this.records.filter(
      ({ key, value }, index) => last.get(key) === index && (tombstones || value !== null),
    );
  }

  restore(blocks = blockCodec()): PackedStore<unknown> {
    const store = new PackedStore<unknown>(blocks);
    const restoring = store.restoring(codec);
    for (const { key, value } of this.records) restoring.take(key, value);
    restoring.done();
    return store;
  }

  /** Of the blocks that were ever written. */
  get versions(): readonly (number | undefined)[] {
    return this.records.flatMap(({ key, value }) =>
      key.startsWith('b') && value !== null ? [value[0]] : [],
    );
  }

  get keys(): readonly string[] {
    return this.records.map(({ key, value }) => `${value === null ? '-' : '+'}${key}`);
  }
}

const sorted = (entries: Iterable<[string, unknown]>) =>
  [...entries].sort(([a], [b]) => (a < b ? -1 : 1));

const key = fc.nat(12).map((n) => `topic/0/${n.toString()}`);
const step = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(key, fc.string({ maxLength: 3 })) },
  { weight: 6, arbitrary: fc.tuple(key, fc.constant(null)) },
  { weight: 4, arbitrary: fc.constant('commit' as const) },
  { weight: 1, arbitrary: fc.constant('abort' as const) },
  { weight: 2, arbitrary: fc.constant('restart' as const) },
  { weight: 1, arbitrary: fc.constant('compact' as const) },
  { weight: 1, arbitrary: fc.constant('compact away' as const) },
);

test('a packed store is a map that survives aborts, restarts and compaction', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const changelog = new Changelog();
      let store = new PackedStore<unknown>();
      let committed = new Map<string, unknown>();
      let staged = new Map(committed);
      for (const one of steps) {
        if (Array.isArray(one)) {
          store.put(one[0], one[1]);
          if (one[1] === null) staged.delete(one[0]);
          else staged.set(one[0], one[1]);
        } else if (one === 'commit') {
          changelog.append([...store.changelog(codec)]);
          store.apply();
          committed = new Map(staged);
        } else if (one === 'abort') {
          // Made and never seen by a reader of committed records.
          expect([...store.changelog(codec)]).toBeDefined();
          store.drop();
          staged = new Map(committed);
        } else if (one === 'restart') {
          store = changelog.restore();
          staged = new Map(committed);
        } else changelog.compact(one === 'compact');
        expect(sorted(store.entries())).toEqual(sorted(staged));
      }
      expect(sorted(changelog.restore().entries())).toEqual(sorted(committed));
    }),
    { numRuns: 500 },
  );
});

test('a thousand entries put and removed by two transactions are two records', () => {
  const store = new PackedStore<unknown>();
  const changelog = new Changelog();
  const commit = () => {
    changelog.append([...store.changelog(codec)]);
    store.apply();
  };
  for (let n = 0; n < 1_000; n += 1) store.put(`topic/0/${n.toString()}`, n);
  commit();
  for (let n = 0; n < 1_000; n += 1) store.put(`topic/0/${n.toString()}`, null);
  commit();
  expect(changelog.keys).toEqual(['+b0', '-b0']);
});

test('a block with entries left is kept, with a bit for each that is gone; the last one ends both records', () => {
  const store = new PackedStore<unknown>();
  const changelog = new Changelog();
  const remove = (...keys: readonly string[]) => {
    for (const one of keys) store.put(one, null);
    changelog.append([...store.changelog(codec)]);
    store.apply();
  };
  for (const one of ['a', 'b', 'c']) store.put(one, one);
  remove();
  remove('b');
  expect(sorted(changelog.restore().entries())).toEqual([
    ['a', 'a'],
    ['c', 'c'],
  ]);
  remove('a', 'c');
  expect(changelog.keys).toEqual(['+b0', '+g0', '-b0', '-g0']);
  expect(changelog.restore().size).toBe(0);
});

test('a block stays below what its topic takes, however large its entries are', () => {
  const store = new PackedStore<unknown>();
  for (let n = 0; n < 12; n += 1) store.put(`topic/0/${n.toString()}`, 'x'.repeat(100_000));
  const sizes = [...store.changelog(codec)].map(({ value }) => value?.length ?? 0);
  expect(sizes).toHaveLength(6);
  expect(Math.max(...sizes)).toBeLessThan(256 * 1024);
});

test('single entries of a release before blocks are read, and removed under their own keys', () => {
  const changelog = new Changelog();
  changelog.append([
    { key: 'topic/0/7', value: codec.encode('old') },
    { key: 'topic/0/8', value: codec.encode('older') },
  ]);
  const store = changelog.restore();
  expect(sorted(store.entries())).toEqual([
    ['topic/0/7', 'old'],
    ['topic/0/8', 'older'],
  ]);
  store.put('topic/0/7', null);
  changelog.append([...store.changelog(codec)]);
  store.apply();
  expect(sorted(changelog.restore().entries())).toEqual([['topic/0/8', 'older']]);
});

test('an upgrade and a rollback in the midst of it: each release reads, and removes from, the blocks of the other', () => {
  const releases = [
    { writes: 2, reads: 3 },
    { writes: 3, reads: 3 },
  ].map((format) => blockCodec(format));
  const changelog = new Changelog();
  let store = new PackedStore<unknown>();
  const goOn = (release: 0 | 1, changes: Readonly<Record<string, string | null>>) => {
    store = changelog.restore(releases[release]);
    for (const [key, value] of Object.entries(changes)) store.put(key, value);
    changelog.append([...store.changelog(codec)]);
    store.apply();
  };
  goOn(0, { a: 'old', b: 'old' });
  goOn(1, { a: null, c: 'new', d: 'new' });
  goOn(0, { c: null, e: 'old' });
  const left = [
    ['b', 'old'],
    ['d', 'new'],
    ['e', 'old'],
  ];
  for (const release of releases)
    expect(sorted(changelog.restore(release).entries())).toEqual(left);
  expect(changelog.versions).toEqual([2, 3, 2]);
  goOn(1, { b: null, d: null, e: null });
  expect(changelog.restore(releases[0]).size).toBe(0);
});

test('a block of a newer format stops an older worker instead of being misread', () => {
  const store = new PackedStore<unknown>(blockCodec({ writes: 4, reads: 4 }));
  store.put('a', 1);
  const [record] = [...store.changelog(codec)];
  const restoring = new PackedStore<unknown>().restoring(codec);
  restoring.take(record?.key ?? '', record?.value ?? null);
  expect(() => {
    restoring.done();
  }).toThrow(expect.objectContaining({ code: 'state_too_new' }));
});
