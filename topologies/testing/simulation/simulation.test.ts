import { readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { projectRoot } from '../../../schemas/root.js';
import { plans } from './arbitrary.js';
import { MUTATIONS, type MutationName, simulateBroken } from './mutations.js';
import { type Plan, script } from './plan.js';
import { simulate } from './simulation.js';

/** catching: plans that catch each broken rule; found: plans that once broke a promise. */
const { catching: CATCHING, found: FOUND } = JSON.parse(
  readFileSync(path.join(projectRoot(), 'topologies/testing/simulation/found-plans.json'), 'utf8'),
) as {
  readonly catching: Readonly<Record<MutationName, Plan>>;
  readonly found: { readonly frozenBeforeItsClaimWasSent: Plan };
};

/** These plans come to rest within it; a broken rule that never does is found out as soon. */
const REST_MS = 15_000;

const CALM: Plan = {
  workers: 1,
  joinMs: [0, 0],
  latencySeed: 0,
  requests: [
    { atMs: 0, n: 1, tenant: 'acme', line: 'orders', channel: 'sms', key: 'a', content: 0 },
  ],
  answers: [],
  faults: [],
};

test('any plan of crashes, lost answers, resends and rebalances keeps every promise', async () => {
  await fc.assert(
    fc.asyncProperty(plans, async (plan) => {
      const { broken } = await simulate(plan);
      if (broken.length > 0) throw new Error([...broken, ...script(plan)].join('\n'));
    }),
    { numRuns: 60, seed: 20_260_105 },
  );
}, 60_000);

test('the same plan is the same run, told alike to the letter', async () => {
  const [plan = CALM] = fc.sample(plans, { seed: 7, numRuns: 1 });
  const [first, again] = [
    await simulate(plan, { story: true }),
    await simulate(plan, { story: true }),
  ];
  expect(again).toEqual(first);
});

test('a story is numbered and says who did what', async () => {
  const { story, broken } = await simulate(CALM, { story: true });
  expect(broken).toEqual([]);
  expect(story[0]).toBe('  1.    0.000 s  worker 0 (life 1) starts');
  expect(story.join('\n')).toContain('carrier first is asked for acme|');
});

describe('a rule that is broken on purpose is caught', () => {
  test.each(Object.keys(CATCHING) as MutationName[])('%s', async (name) => {
    const { rule, what } = MUTATIONS[name];
    const plan = CATCHING[name];
    const kept = await simulate(plan, { restMs: REST_MS });
    expect(kept.broken, 'the plan is kept while the rule is').toEqual([]);
    const { broken } = await simulateBroken(plan, MUTATIONS[name], { restMs: REST_MS });
    expect(broken, `rule ${String(rule)}: ${what}`).not.toEqual([]);
  });
});

test('a worker that was frozen before its claim was committed does not make its successor’s calls', async () => {
  const { broken } = await simulate(FOUND.frozenBeforeItsClaimWasSent);
  expect(broken).toEqual([]);
});

test('every mutation has a plan that catches it', () => {
  expect(Object.keys(CATCHING).sort()).toEqual(Object.keys(MUTATIONS).sort());
});
