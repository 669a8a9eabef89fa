import { expect, test } from 'vitest';
import { runLedger } from './run-ledger.js';

test('8 clients at once, Postgres killed under them: every account, quota, message and transfer is what they were told', async () => {
  const report = await runLedger({
    operations: 40_000,
    clients: 8,
    kills: 2,
    seed: 3,
    signal: new AbortController().signal,
    say: () => undefined,
  });
  expect(report.problems).toEqual([]);
  expect(report).toMatchObject({
    ...{ wrongAccounts: 0, wrongQuotas: 0, wrongMessages: 0, wrongTransfers: 0 },
    kills: 2,
  });
  // Else it has shown nothing.
  for (const happened of [
    'reserved',
    'refused',
    'overQuota',
    'narrowed',
    'duplicates',
    'postings',
    'expired',
    'booked',
    'repeated',
  ] as const)
    expect(report[happened], happened).toBeGreaterThan(0);
}, 300_000);
