import { afterAll, beforeAll, expect, test } from 'vitest';
import { commandLine } from '../testing/command-line.js';
import { block } from '../testing/documented.js';
import type { ScratchInstallation } from '../testing/scratch-installation.js';
import { scratchInstallation } from '../testing/scratch-installation.js';

let own: ScratchInstallation;
let millrace: ReturnType<typeof commandLine>;

beforeAll(async () => {
  own = await scratchInstallation(
    ({ name }, names) => name === names.config || name === names.feedback,
    1,
  );
  millrace = commandLine(own.variables);
  expect(await millrace('config', 'apply')).toMatchObject({ code: 0 });
});
afterAll(() => own.remove());

/** A block's commands as an operator types them; each one's exit code and what it says. */
const run = async (name: string) => {
  const said: { readonly code: number; readonly out: string }[] = [];
  for (const line of block('docs/operators/reconciliation.md', name).trim().split('\n')) {
    const [, ...words] = (line.match(/"[^"]*"|\S+/g) ?? []).map((word) => word.replaceAll('"', ''));
    said.push(await millrace(...words));
  }
  return said;
};

test('reconciliation: a counter that someone wrote to is found, booked, and adds up again, by the commands of the page', async () => {
  expect(await run('reconcile-look')).toMatchObject([
    { code: 0, out: expect.stringContaining('no breaks') as string },
  ]);
  await own.database.query({
    name: '',
    text: `update budgets set cash_pending = cash_pending + 1500000, cash_available = cash_available - 1500000
      where account_id = (select account_id from accounts where (tenant_id, business_line) = ('harbour', 'logistics'))`,
  });
  const [found] = await run('reconcile-look');
  expect(found?.code).toBe(3);
  expect(found?.out).toMatch(/counter_pending +1 +1\.50 +CNY +0 +1\n/);
  expect(found?.out).toContain('counter 1500000 micros and 0 PV, rows 0 micros and 0 PV');
  const [applied, again] = await run('reconcile-apply');
  expect(applied?.code).toBe(3);
  expect(applied?.out).toContain('booked: 1\n');
  expect(again).toMatchObject({ code: 0 });
});
