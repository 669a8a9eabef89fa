import { describe, expect, test } from 'vitest';
import { sameVersions } from './node-modules.mjs';
import { cacheKey } from './rdkafka-key.mjs';

const lock = (packages: Record<string, { version: string; optional?: boolean }>) => ({ packages });

describe('node_modules is taken as it is', () => {
  test.each([
    { it: 'when it is the same', installed: lock({ a: { version: '1' } }), same: true },
    { it: 'not with another version', installed: lock({ a: { version: '2' } }), same: false },
    { it: 'not with a package missing', installed: lock({}), same: false },
    {
      it: 'not with a package left over',
      installed: lock({ a: { version: '1' }, c: { version: '1' } }),
      same: false,
    },
  ])('$it', ({ installed, same }) => {
    const wanted = lock({ a: { version: '1' }, b: { version: '1', optional: true } });
    expect(sameVersions(wanted, installed)).toBe(same);
  });
});

describe('a build of node-rdkafka is used again', () => {
  const build = {
    version: '3.6.1',
    abi: '115',
    platform: 'linux' as const,
    arch: 'x64' as const,
    libc: '2.36',
    libraries: { libzstd: '1.5.4', libssl: '3.0' },
  };

  test('whatever the order its libraries were asked in', () => {
    const other = { ...build, libraries: { libssl: '3.0', libzstd: '1.5.4' } };
    expect(cacheKey(other)).toBe(cacheKey(build));
  });

  test.each([
    { version: '3.6.2' },
    { abi: '127' },
    { arch: 'arm64' as const },
    { libc: '2.41' },
    { libraries: { libzstd: '1.5.4', libssl: '3.5' } },
    { libraries: { libzstd: 'absent', libssl: '3.0' } },
  ])('not with %o', (change) => {
    expect(cacheKey({ ...build, ...change })).not.toBe(cacheKey(build));
  });
});
