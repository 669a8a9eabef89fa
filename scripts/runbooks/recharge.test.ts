import { afterAll, beforeAll, expect, test } from 'vitest';
import { postgresRecharges } from '../../sinks/postgres/recharges.js';
import { grantInitialBudgets } from '../../sinks/postgres/initial-grants.js';
import { freshDatabase } from '../../sinks/postgres/testing/fresh-database.js';
import type { FreshDatabase } from '../../sinks/postgres/testing/fresh-database.js';
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
  const recharges = postgresRecharges(database);
  const found = await recharges.accounts(['lantern']);
  const promotions = found?.accounts.find(({ businessLine }) => businessLine === 'promotions');
  for (const seq of [1, 2])
    await recharges.propose(
      {
        rechargeId: `recharge/lantern/promotions/${seq}`,
        accountId: promotions?.accountId ?? 0,
        seq,
        rule: 'promotions-low',
        cashMicros: 5_000_000_000n,
        units: 10_000n,
        currency: 'CNY',
        seen: { when: 'cash.share < 0.2' },
        decision: { state: 'person', because: 'no review rule decides it' },
      },
      3_600_000,
    );
});
afterAll(() => database.drop());

/** A block's commands as an operator types them, in this process: they need Postgres alone. */
const run = async (name: string): Promise<string> => {
  const said: string[] = [];
  for (const line of block('docs/operators/recharge.md', name).trim().split('\n')) {
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

test('recharges: looked at, approved and rejected, by the commands of the page', async () => {
  expect(await run('recharge-look')).toContain(
    'recharge/lantern/promotions/1 lantern/promotions 5000.00 CNY and 10000 PV promotions-low',
  );
  const decided = await run('recharge-decide');
  expect(decided).toContain('would approve recharge/lantern/promotions/1');
  expect(decided).toMatch(/state: booked, approved by \S+@\S+ at 20/);
  expect(decided).toMatch(/recharge\/lantern\/promotions\/2 .*: rejected by/);
  const over = await run('recharge-over');
  expect(over).toContain('recharge/lantern/promotions/1 grant +5000.00 CNY +10000');
  expect(over).toContain('audit reject: the campaign is over');
});
