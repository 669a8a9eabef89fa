import { expect, test } from 'vitest';
import type { MessageRouted } from '../../schemas/generated/records.js';
import type { Decision } from '../processor.js';
import type { Claim } from './claim.js';
import { claimKey } from './claim.js';
import type { ProviderAnswer, ProviderCall, Providers, Send } from './contract.js';
import {
  CANARIES,
  EXPIRES,
  level,
  NOW,
  OPTIONS,
  provider,
  record,
  routed,
  SECOND,
  sms,
  view,
} from './fixtures.js';
import { lateReceipt } from './late-receipt.js';
import type { Outcome } from './outcomes.js';
import { retryDelayOf } from './retry.js';
import { send } from './send.js';

const stage = send(OPTIONS);
const NO_WAIT = { waitMs: 0 };

const callFor = (value: MessageRouted, config = provider()): ProviderCall => {
  const { call } = stage.decide(record(value), NO_WAIT, view({ channels: [sms(config, SECOND)] }));
  const [made] = call ?? [];
  if (made === undefined) throw new Error('no call was made');
  return made;
};

const answer = (
  outcome: Outcome,
  value: MessageRouted = routed(),
  config = provider(),
): Decision<Send> => {
  const call = callFor(value, config);
  const claims = claimsOf(value);
  const answered: ProviderAnswer = {
    call: { ...call, provider: config },
    outcome,
    calledAt: NOW + 10,
    answeredAt: NOW + 60,
  };
  return stage.answered(answered, view({ claims, channels: [sms(config, SECOND)] }));
};

const claimsOf = (value: MessageRouted): ReadonlyMap<string, Claim> => {
  const { at } = record(value);
  return new Map([[claimKey(at), { routed: value, at, claimedAt: NOW, deadline: NOW + 9_000 }]]);
};

const one = <K extends keyof Send['to']>(decision: Decision<Send>, to: K): Send['to'][K] => {
  const found = (decision.emit ?? []).filter((emission) => emission.to === to);
  expect(found).toHaveLength(1);
  return found[0]?.value as Send['to'][K];
};
const written = (decision: Decision<Send>): readonly string[] =>
  (decision.emit ?? []).map(({ to }) => to).sort();

test('claims, and only then calls: one transaction holds the claim, the call follows it', () => {
  const decision = stage.decide(record(routed()), NO_WAIT, view());
  expect(decision.emit).toBeUndefined();
  expect(decision.put).toEqual([
    {
      to: 'claims',
      key: 'routed.sms.p1/3/42',
      value: { routed: routed(), at: record(routed()).at, claimedAt: NOW, deadline: NOW + 9_000 },
    },
  ]);
  expect(decision.call).toMatchObject([
    {
      claim: 'routed.sms.p1/3/42',
      lane: 'p1',
      deadline: NOW + 9_000,
      rateFactor: 1,
      reference: 'acme|0198f3c2-7b1e-7c55-9a1b-3d2f4e5a6b7c|0|1',
      idempotencyKey: 'acme-0198f3c2-7b1e-7c55-9a1b-3d2f4e5a6b7c-0-1',
      template: { codes: { first: 'SMS_1' } },
    },
  ]);
});

test('the deadline of a call never passes the message’s expiry', () => {
  expect(callFor(routed({ expiresAt: NOW + 1_000 }))).toMatchObject({ deadline: NOW + 1_000 });
});

test('an expired message is refused without a claim, and what was RESERVED is voided', () => {
  const decision = stage.decide(record(routed()), NO_WAIT, view({ now: EXPIRES }));
  expect(written(decision)).toEqual(['refused']);
  expect(decision.put).toBeUndefined();
  expect(one(decision, 'refused')).toMatchObject({
    reason: 'expired',
    retryable: false,
    settlement: { kind: 'void', cashMicros: 100_000n, units: 2, currency: 'CNY' },
    source: { topic: 'routed.sms.p1', partition: 3, offset: 42 },
  });
});

test('a full bulkhead diverts without counting an attempt', () => {
  const decision = stage.decide(record(routed()), { waitMs: 6_000 }, view());
  expect(written(decision)).toEqual(['retry']);
  const back = one(decision, 'retry');
  expect(back).toMatchObject({ attempt: 1, routeAttempt: 1, diversions: 1, dueAt: NOW + 30_000 });
  expect(retryDelayOf(back)).toBe(30_000);
});

test('a wait well within the call’s time is no diversion', () => {
  expect(stage.decide(record(routed()), { waitMs: 900 }, view()).call).toHaveLength(1);
});

test('gather asks for each claimable record with the breaker’s present factor', async () => {
  const asked: unknown[] = [];
  const providers: Providers = {
    admit: (requests) => {
      asked.push(...requests);
      return requests.map(() => NO_WAIT);
    },
    perform: () => {
      throw new Error('not here');
    },
  };
  const levels = new Map([['channel/sms/first', level({ rateFactor: 0.25 })]]);
  const batch = [record(routed()), record(routed({ expiresAt: NOW }))];
  const seen = view({ levels });
  const facts = await stage.gather(batch, { providers }, { ...seen, stateOf: () => seen.state });
  expect(facts).toHaveLength(2);
  expect(asked).toMatchObject([{ channel: 'sms', lane: 'p1', rateFactor: 0.25 }, null]);
});

test('a provider that configuration no longer has is replaced by the next route', () => {
  const value = routed({ provider: 'gone', alternatives: ['sms/second'] });
  expect(callFor(value).routed).toMatchObject({
    provider: 'second',
    attempt: 1,
    priceMicros: 50_000n,
    alternatives: [],
  });
});

test('without any configured route the message is refused, and its money returns', () => {
  const decision = stage.decide(record(routed({ provider: 'gone' })), NO_WAIT, view());
  expect(one(decision, 'refused')).toMatchObject({
    reason: 'no_channel',
    retryable: true,
    settlement: { kind: 'void', cashMicros: 100_000n, units: 2 },
  });
});

test.each([
  { receipts: true, terminal: false },
  { receipts: false, terminal: true },
])('acceptance posts the route’s price; final only without receipts ($receipts)', (row) => {
  const decision = answer(
    { kind: 'accepted', providerCode: 'OK', providerMessageId: 'biz-1' },
    routed(),
    provider({ receipts: row.receipts }),
  );
  expect(written(decision)).toEqual(['feedback']);
  expect(one(decision, 'feedback')).toMatchObject({
    state: 'accepted',
    class: null,
    terminal: row.terminal,
    settlement: { kind: 'post', cashMicros: 45_000n, units: 1, currency: 'CNY' },
    providerMessageId: 'biz-1',
    attempt: 1,
    sequence: 1,
    lane: 'p1',
    attemptedAt: NOW + 10,
    occurredAt: NOW + 60,
  });
  expect(decision.put).toEqual([{ to: 'claims', key: 'routed.sms.p1/3/42', value: null }]);
  expect(decision.emit?.[0]?.key).toBe('producer-key');
});

test.each(['failed.recipient', 'failed.content'] as const)('%s ends at once, voided', (kind) => {
  const decision = answer({ kind, providerCode: 'x' }, routed({ alternatives: ['sms/second'] }));
  expect(written(decision)).toEqual(['feedback']);
  expect(one(decision, 'feedback')).toMatchObject({
    state: 'failed',
    class: kind.slice('failed.'.length),
    terminal: true,
    settlement: { kind: 'void', cashMicros: 100_000n, units: 2 },
  });
});

test.each([
  { routeAttempt: 1, dueIn: 5_000 },
  { routeAttempt: 2, dueIn: 30_000 },
])('the provider’s own failure is tried again after $dueIn ms', ({ routeAttempt, dueIn }) => {
  const value = routed({ attempt: routeAttempt + 4, routeAttempt });
  const decision = answer({ kind: 'failed.provider', providerCode: 'x' }, value);
  expect(written(decision)).toEqual(['feedback', 'retry']);
  expect(one(decision, 'feedback')).toMatchObject({
    state: 'failed',
    class: 'provider',
    terminal: false,
    sequence: routeAttempt + 4,
    settlement: { kind: 'none', cashMicros: 0n, units: 0 },
  });
  expect(one(decision, 'retry')).toMatchObject({
    attempt: routeAttempt + 5,
    routeAttempt: routeAttempt + 1,
    provider: 'first',
    dueAt: NOW + dueIn,
  });
});

test('throttled waits at least as long as the provider asks', () => {
  const decision = answer({ kind: 'throttled', retryAfterMs: 31_000, providerCode: '429' });
  expect(one(decision, 'retry').dueAt).toBe(NOW + 120_000);
  expect(one(decision, 'feedback')).toMatchObject({ class: 'throttled', terminal: false });
});

test('after its last try the next route is taken, at its own price, and tries begin again', () => {
  const value = routed({ attempt: 3, routeAttempt: 3, alternatives: ['sms/second'] });
  const decision = answer({ kind: 'failed.provider', providerCode: 'x' }, value);
  expect(one(decision, 'retry')).toMatchObject({
    provider: 'second',
    attempt: 4,
    routeAttempt: 1,
    priceMicros: 50_000n,
    alternatives: [],
    dueAt: NOW + 5_000,
  });
  expect(one(decision, 'feedback')).toMatchObject({ terminal: false, provider: 'first' });
});

test('our account’s failure fails over at once: waiting does not fill an account', () => {
  const decision = answer(
    { kind: 'failed.account', providerCode: 'isv.AMOUNT_NOT_ENOUGH' },
    routed({ alternatives: ['sms/second'] }),
  );
  expect(one(decision, 'retry')).toMatchObject({ provider: 'second', attempt: 2 });
});

test('a route that the reservation cannot pay is never taken', () => {
  const value = routed({ attempt: 3, routeAttempt: 3, alternatives: ['sms/second'], units: 3 });
  const decision = answer({ kind: 'failed.provider', providerCode: 'x' }, value);
  expect(written(decision)).toEqual(['feedback']);
  expect(one(decision, 'feedback')).toMatchObject({
    terminal: true,
    class: 'provider',
    settlement: { kind: 'void', cashMicros: 100_000n, units: 2 },
  });
});

test('fail-over prefers a route that the breaker does not avoid, and never forbids one', () => {
  const third = provider({ name: 'third' });
  const value = routed({ alternatives: ['sms/second', 'sms/third'] });
  const levels = new Map([['channel/sms/second', level({ avoid: true })]]);
  const answered = (channels: Parameters<typeof sms>) =>
    stage.answered(
      {
        call: callFor(value),
        outcome: { kind: 'failed.account', providerCode: null },
        calledAt: NOW,
        answeredAt: NOW,
      },
      view({ claims: claimsOf(value), channels: [sms(...channels)], levels }),
    );
  expect(one(answered([provider(), SECOND, third]), 'retry').provider).toBe('third');
  expect(one(answered([provider(), SECOND]), 'retry').provider).toBe('second');
});

test.each(['timeout', 'unknown'] as const)(
  '%s is held: nobody is asked again, and the whole record is kept',
  (kind) => {
    const value = routed({ alternatives: ['sms/second'] });
    const decision = answer({ kind, providerCode: null }, value);
    expect(written(decision)).toEqual(['feedback', 'unknown']);
    expect(one(decision, 'feedback')).toMatchObject({
      state: 'held',
      class: kind,
      terminal: false,
      settlement: { kind: 'none' },
    });
    expect(one(decision, 'unknown')).toEqual(value);
    expect(decision.emit?.find(({ to }) => to === 'unknown')?.key).toBe(
      'acme|0198f3c2-7b1e-7c55-9a1b-3d2f4e5a6b7c|0|1|p1',
    );
  },
);

test.each([
  { dedupesOnKey: false, unknownOutcome: 'retry' },
  { dedupesOnKey: true, unknownOutcome: 'receipt' },
  { dedupesOnKey: true, unknownOutcome: 'hold' },
  { dedupesOnKey: true, unknownOutcome: 'query' },
] as const)('an ambiguous time-out is never retried with %o', (settings) => {
  const decision = answer({ kind: 'timeout', providerCode: null }, routed(), provider(settings));
  expect(written(decision)).toEqual(['feedback', 'unknown']);
});

const DEDUPES = provider({ dedupesOnKey: true, unknownOutcome: 'retry', receipts: false });

test('where the provider dedupes it is asked again under the SAME key', () => {
  const first = callFor(routed(), DEDUPES);
  const decision = answer({ kind: 'timeout', providerCode: null }, routed(), DEDUPES);
  const again = one(decision, 'retry');
  expect(one(decision, 'feedback')).toMatchObject({ state: 'unknown', terminal: false });
  expect(again).toMatchObject({ attempt: 2, routeAttempt: 2, ambiguous: true, provider: 'first' });
  expect(callFor(again, DEDUPES).idempotencyKey).toBe(first.idempotencyKey);
});

test.each([
  { kind: 'failed.recipient', providerCode: null },
  { kind: 'failed.account', providerCode: null },
] as const)('once a try was ambiguous, $kind no longer ends it: it may have arrived', (outcome) => {
  const value = routed({
    attempt: 2,
    routeAttempt: 2,
    ambiguous: true,
    alternatives: ['sms/second'],
  });
  const decision = answer(outcome, value, DEDUPES);
  expect(written(decision)).toEqual(['feedback', 'unknown']);
  expect(one(decision, 'feedback')).toMatchObject({ state: 'held', settlement: { kind: 'none' } });
});

test('once a try was ambiguous, no other provider is asked when tries run out', () => {
  const value = routed({
    attempt: 3,
    routeAttempt: 3,
    ambiguous: true,
    alternatives: ['sms/second'],
  });
  const decision = answer({ kind: 'failed.provider', providerCode: null }, value, DEDUPES);
  expect(written(decision)).toEqual(['feedback', 'unknown']);
});

test.each([
  { it: 'it expires while it waits', change: {}, now: EXPIRES },
  { it: 'its provider is no longer configured', change: { provider: 'gone' }, now: NOW },
])('once a try was ambiguous the message is held, not refused, when $it', ({ change, now }) => {
  const value = routed({
    attempt: 3,
    routeAttempt: 3,
    ambiguous: true,
    alternatives: ['sms/second'],
    ...change,
  });
  const decision = stage.decide(record(value), NO_WAIT, view({ now }));
  expect(written(decision)).toEqual(['feedback', 'unknown']);
  expect(decision.call).toBeUndefined();
  expect(one(decision, 'feedback')).toMatchObject({
    state: 'held',
    attempt: 2,
    sequence: 4,
    settlement: { kind: 'none' },
  });
  expect(one(decision, 'unknown').attempt).toBe(2);
});

test('what was never called is put back without an attempt, or refused once expired', () => {
  expect(one(answer({ kind: 'not_called' }), 'retry')).toMatchObject({ attempt: 1, diversions: 1 });
  const value = routed({ expiresAt: NOW + 500 });
  const call = callFor(value);
  const late = stage.answered(
    { call, outcome: { kind: 'not_called' }, calledAt: NOW, answeredAt: NOW },
    view({ now: NOW + 500, claims: claimsOf(value) }),
  );
  expect(one(late, 'refused')).toMatchObject({ reason: 'expired', settlement: { kind: 'void' } });
  expect(late.put).toHaveLength(1);
});

test('an answer whose claim is gone writes nothing: it would settle twice', () => {
  const outcome: Outcome = { kind: 'accepted', providerCode: null, providerMessageId: null };
  const answered = { call: callFor(routed()), outcome, calledAt: NOW, answeredAt: NOW };
  expect(stage.answered(answered, view())).toEqual({});
});

test('claims found after a restore are held, kept whole, and closed', () => {
  const claims = claimsOf(routed());
  const decision = stage.restored?.(view({ claims, now: NOW + 9_000 })) ?? {};
  expect(written(decision)).toEqual(['feedback', 'unknown']);
  expect(one(decision, 'feedback')).toMatchObject({
    state: 'held',
    class: 'timeout',
    attemptedAt: NOW,
    occurredAt: NOW + 9_000,
  });
  expect(decision.put).toEqual([{ to: 'claims', key: 'routed.sms.p1/3/42', value: null }]);
});

test('a restored claim of a provider that dedupes is tried again', () => {
  const claims = claimsOf(routed());
  const decision = stage.restored?.(view({ claims, channels: [sms(DEDUPES)] })) ?? {};
  expect(written(decision)).toEqual(['feedback', 'retry']);
  expect(one(decision, 'retry')).toMatchObject({ attempt: 2, ambiguous: true });
});

test('a defect refuses with internal and voids, without quoting the error', () => {
  const error = new Error(`bad phone ${CANARIES.phone}`);
  const decision = stage.failed?.(record(routed()), error, view(), null) ?? {};
  expect(one(decision, 'refused')).toMatchObject({
    reason: 'internal',
    settlement: { kind: 'void', cashMicros: 100_000n, units: 2 },
  });
  expect(text(decision)).not.toContain(CANARIES.phone);
});

test('feedback and refusals carry no recipient and no params', () => {
  const decisions = [
    answer({ kind: 'accepted', providerCode: null, providerMessageId: null }),
    answer({ kind: 'failed.content', providerCode: null }),
    stage.decide(record(routed()), NO_WAIT, view({ now: EXPIRES })),
  ];
  for (const canary of Object.values(CANARIES))
    for (const decision of decisions) expect(text(decision)).not.toContain(canary);
});

const text = (decision: Decision<Send>): string =>
  JSON.stringify(decision.emit, (_key, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  );

test.each([
  { outcome: { kind: 'accepted', providerCode: 'OK', providerMessageId: 'b' }, state: 'accepted' },
  { outcome: { kind: 'failed.recipient', providerCode: 'x' }, state: 'failed' },
  { outcome: { kind: 'throttled', providerCode: 'x', retryAfterMs: 1 }, state: 'failed' },
  { outcome: { kind: 'not_called' }, state: 'failed' },
] as const)(
  'an answer that came too late becomes a receipt: $outcome.kind',
  ({ outcome, state }) => {
    const receipt = lateReceipt({
      call: callFor(routed()),
      outcome,
      calledAt: NOW,
      answeredAt: NOW,
    });
    expect(receipt).toMatchObject({
      origin: 'late_answer',
      state,
      attempt: { tenantId: 'acme', generation: 0, attempt: 1 },
    });
  },
);

test('a late answer that says nothing is no receipt', () => {
  const outcome = { kind: 'timeout', providerCode: null } as const;
  expect(
    lateReceipt({ call: callFor(routed()), outcome, calledAt: NOW, answeredAt: NOW }),
  ).toBeNull();
});
