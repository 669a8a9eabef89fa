import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { configSchemas } from '../../schemas/config.js';
import { projectRoot } from '../../schemas/root.js';
import { grantInitialBudgets } from '../../sinks/postgres/initial-grants.js';
import { freshDatabase } from '../../sinks/postgres/testing/fresh-database.js';
import type { FreshDatabase } from '../../sinks/postgres/testing/fresh-database.js';
import { postgresQuotas } from '../../sinks/postgres/quotas.js';
import { postgresTransfers } from '../../sinks/postgres/transfers.js';
import { CONFIG_FOLDER, businessConfig } from '../cli/installation.js';
import { commandLine } from '../testing/command-line.js';
import { block } from '../testing/documented.js';

let database: FreshDatabase;
let millrace: ReturnType<typeof commandLine>;

beforeAll(async () => {
  database = await freshDatabase();
  await grantInitialBudgets(postgresTransfers(database), businessConfig(CONFIG_FOLDER).tenants);
  millrace = commandLine({
    ...process.env,
    DATABASE_URL: database.url,
    DATABASE_SCHEMA: 'millrace',
  });
});
afterAll(() => database.drop());

/** A block's commands as an operator types them, in this process: they are a dozen, and need Postgres alone. */
const run = async (name: string): Promise<string> => {
  const said: string[] = [];
  for (const line of block('docs/operators/budgets.md', name).trim().split('\n')) {
    const [program, ...words] = (line.match(/"[^"]*"|\S+/g) ?? []).map((word) =>
      word.replaceAll('"', ''),
    );
    expect(program).toBe('millrace');
    const { code, out, err } = await millrace(...words);
    expect({ line, code, err }).toEqual({ line, code: 0, err: '' });
    said.push(out);
  }
  return said.join('\n').replaceAll(/ +/g, ' ');
};

test('budgets: looked at, recharged, moved, closed and emptied, by the commands of the page', async () => {
  const before = await run('budgets-look');
  expect(before).toContain('harbour/logistics CNY 150000.00 150000.00 0.00 0.00 open');
  expect(before).toContain('initial/harbour/logistics grant +150000.00 CNY +4000000');

  const granted = await run('budgets-grant');
  expect(granted).toMatch(/would grant .*\nDo it: millrace budget grant harbour\/logistics/);
  expect(granted).toContain('left: harbour/logistics: 150500.00 CNY and 4010000 PV available');
  expect(await run('budgets-grant')).toContain('nothing is booked again');

  expect(await run('budgets-transfer')).toContain(
    'left: harbour/logistics: 150300.00 CNY and 4010000 PV available; harbour/promotions: 60200.00 CNY',
  );
  const closed = await run('budgets-close');
  expect(closed).toContain('pending now: 0.00 CNY and 0 PV');
  expect(closed).toContain('harbour/promotions CNY 60200.00 60200.00 0.00 0.00 closed');
  expect(closed).toContain('harbour/promotions: 0.00 CNY and 0 PV available');

  // No day is that old here: scripts/budget/detach.test.ts detaches some.
  expect(await run('budgets-detach')).toContain('0 of 0 days detached');

  const over = await run('budgets-over');
  for (const id of ['FIN-1234', 'FIN-1240', 'FIN-1251']) expect(over).toContain(id);
  expect(over).toMatch(/done .* budget close: the line is given up/);
});

test('budgets: the quotas that the page sets are sound, and shown', async () => {
  const page = readFileSync(path.join(projectRoot(), 'docs/operators/budgets.md'), 'utf8');
  const [, yaml = ''] = /^```yaml\n([^]*?)^```$/m.exec(page) ?? [];
  await postgresQuotas(database).set(configSchemas.tenants.parse(parse(yaml)));
  const shown = await run('budgets-quota');
  expect(shown).toMatch(
    /^orchid \(all\) sms \d{4}-\d{2} CNY 50000\.00 55000\.00 0\.00 0\.00 0\.0 %$/m,
  );
  expect(shown).toMatch(/^orchid\/promotions sms \d{4}-\d{2}-\d{2} PV 100000 120000 0 0 0\.0 %$/m);
});
