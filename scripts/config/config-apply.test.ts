import { afterAll, beforeAll, expect, test } from 'vitest';
import { commandLine } from '../testing/command-line.js';
import type { ScratchInstallation } from '../testing/scratch-installation.js';
import { scratchInstallation } from '../testing/scratch-installation.js';

let own: ScratchInstallation;
beforeAll(async () => {
  own = await scratchInstallation(({ name }, names) => name === names.config, 1);
});
afterAll(async () => {
  await own.remove();
});

test('what config apply publishes is recorded with its reason and without values; what changes nothing is not', async () => {
  const millrace = commandLine(own.variables);
  const applied = await millrace('config', 'apply', '--reason', 'first prices');
  expect(applied).toMatchObject({ code: 0, err: '' });
  expect(await millrace('config', 'apply')).toMatchObject({ code: 0 });
  const actions = (await millrace('actions', '--json')).json() as readonly {
    readonly what: { readonly changes: readonly object[] };
  }[];
  expect(actions).toMatchObject([
    { command: 'config apply', reason: 'first prices', state: 'done' },
  ]);
  expect(Object.keys(actions[0]?.what.changes[0] ?? {})).toEqual(['kind', 'added', 'paths']);
});
