import { describe, expect, test } from 'vitest';
import { requirements } from './package-table.mjs';
import { missingPackages, needed } from './system-packages.mjs';

const names = (replaced: string[], tests: boolean) =>
  needed(requirements, new Set(replaced as 'kafka'[]), tests).flatMap(({ apt }) => apt);

describe('system packages', () => {
  test('that only tests use are not asked of a demo', () => {
    expect(names([], true)).toContain('python3-venv');
    expect(names([], false)).not.toContain('python3-venv');
  });

  test('of a component are not asked for when all that use them are replaced', () => {
    expect(names(['redis', 'influx'], false)).not.toContain('golang-go');
    expect(names(['kafka'], false)).toContain('maven');
    expect(names(['kafka', 'registry'], false)).not.toContain('maven');
  });

  test('include every library whose absence would silently drop a codec', () => {
    const all = names(['kafka', 'registry', 'postgres', 'redis', 'influx'], false);
    for (const library of ['libzstd-dev', 'liblz4-dev', 'libssl-dev', 'libsasl2-dev']) {
      expect(all).toContain(library);
    }
  });

  test('that start a service of their own are not installed', () => {
    expect(requirements.flatMap(({ apt }) => apt)).not.toContain('redis-server');
  });

  test('that are missing are listed with the one command that installs them', () => {
    const { message, advice } = missingPackages(requirements.slice(0, 2), 'sudo apt-get install x');
    expect(message.split('\n')).toHaveLength(3);
    expect(advice).toContain('sudo apt-get install x');
  });
});
