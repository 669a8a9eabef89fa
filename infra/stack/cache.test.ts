import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { cached, exists, sha256, verifyFiles } from './cache.mjs';
import { pinned } from './checksums.mjs';
import { cacheDir } from './paths.mjs';

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'millrace-cache-'));
  vi.stubEnv('MILLRACE_CACHE', dir);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(dir, { recursive: true, force: true });
});

const put = (into: string) => {
  writeFileSync(join(into, 'file'), 'content');
  return Promise.resolve();
};

describe('the cache', () => {
  test('is filled once', async () => {
    let fills = 0;
    const fill = (into: string) => {
      fills += 1;
      return put(into);
    };
    const place = await cached('thing', fill);
    expect(await cached('thing', fill)).toBe(place);
    expect(fills).toBe(1);
    expect(readdirSync(place)).toEqual(['file']);
  });

  test('keeps nothing of a download that failed', async () => {
    const failing = async (into: string) => {
      await put(into);
      throw new Error('network');
    };
    await expect(cached('thing', failing)).rejects.toThrow('network');
    expect(readdirSync(dir)).toEqual([]);
  });

  test('clears away what a killed download left', async () => {
    const left = join(dir, 'thing.partial-999999999');
    await cached('thing.partial-999999999', put);
    await cached('thing', put);
    expect(await exists(left)).toBe(false);
  });

  test.each([
    { env: { MILLRACE_CACHE: '/a', XDG_CACHE_HOME: '/b' }, place: '/a' },
    { env: { XDG_CACHE_HOME: '/b' }, place: '/b/millrace' },
  ])('is at $place', ({ env, place }) => {
    expect(cacheDir(env)).toBe(place);
  });
});

describe('a download', () => {
  test('with another checksum is refused', async () => {
    await put(dir);
    await expect(verifyFiles(dir, new Map([['file', 'abc']]))).rejects.toThrow('pinned is abc');
  });

  test('with a file that nobody expects is refused', async () => {
    await put(dir);
    await expect(verifyFiles(dir, new Map())).rejects.toThrow('not expected');
  });

  test('without an expected file is refused', async () => {
    await put(dir);
    const expected = new Map([
      ['file', await sha256(join(dir, 'file'))],
      ['other', 'abc'],
    ]);
    await expect(verifyFiles(dir, expected)).rejects.toThrow('other is missing');
  });

  test.each([
    ['kafka-4.3.1.sha256', 92],
    ['apicurio-2.6.13.Final.sha256', 1],
  ])('%s is pinned file by file', (file, count) => {
    const sums = [...pinned(file)];
    expect(sums).toHaveLength(count);
    for (const [, sum] of sums) expect(sum).toMatch(/^[0-9a-f]{64}$/);
  });
});
