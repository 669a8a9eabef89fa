import { Gauge, Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { quotaWatch } from './quota-watch.js';

const use = (limit: bigint, used: bigint, held = 0n) => ({
  limit,
  stop: limit * 2n,
  used,
  held,
  past: used + held > limit,
});
const quota = {
  tenantId: 'acme',
  businessLine: null,
  channel: 'sms',
  period: 'day' as const,
  starts: '2026-05-20',
  cash: null,
  pv: null,
};

test('a quota past its limit is told once a period; the gauge says how far each is', async () => {
  const registry = new Registry();
  const gauge = new Gauge({
    name: 'used',
    help: '-',
    labelNames: ['tenant', 'line', 'channel', 'period', 'budget'] as const,
    registers: [registry],
  });
  const told: string[] = [];
  const log = {
    warn: (about: { readonly budget: string; readonly starts: string }) => {
      told.push(`${about.budget} ${about.starts}`);
    },
  } as unknown as Parameters<typeof quotaWatch>[2];
  let found: Awaited<ReturnType<Parameters<typeof quotaWatch>[0]['at']>> = [];
  const watch = quotaWatch({ at: () => Promise.resolve(found) }, gauge, log);
  const seen = async (...now: typeof found) => {
    found = now;
    await watch.run(new AbortController().signal);
    return (await gauge.get()).values.map(({ labels, value }) => [labels.budget, value]);
  };
  const next = '2026-05-21';

  expect(await seen({ ...quota, pv: use(10n, 8n, 2n), cash: use(4n, 1n) })).toEqual([
    ['cash', 0.25],
    ['pv', 1],
  ]);
  expect(told).toEqual([]);
  expect(await seen({ ...quota, pv: use(10n, 8n, 4n) })).toEqual([['pv', 1.2]]);
  // Below it and past it again.
  await seen({ ...quota, pv: use(10n, 8n) });
  await seen({ ...quota, pv: use(10n, 11n) });
  expect(told).toEqual(['pv 2026-05-20']);
  await seen({ ...quota, starts: next, pv: use(10n, 0n) });
  expect(await seen({ ...quota, starts: next, pv: use(0n, 1n) })).toEqual([['pv', Infinity]]);
  expect(told).toEqual(['pv 2026-05-20', `pv ${next}`]);
  expect(await seen()).toEqual([]);
});
