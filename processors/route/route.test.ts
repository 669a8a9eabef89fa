import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type {
  BreakerLevel,
  BudgetReserved,
  MessageRequest,
} from '../../schemas/generated/records.js';
import type { Release } from '../dedupe/first-seen.js';
import { recipientHash } from '../recipient-hash.js';
import {
  CANARIES,
  HOUR,
  NOW,
  asText,
  configTable,
  deduped,
  record,
  request,
} from '../testing/intake-fixtures.js';
import { route } from './route.js';

const stage = route({ recipientHash: recipientHash('secret') });

const level = (scope: string, avoid = true): [string, BreakerLevel] => [
  scope,
  {
    scope,
    channel: null,
    provider: null,
    level: 1,
    fromLevel: 0,
    rateFactor: 0.5,
    fromRateFactor: 1,
    avoid,
    cause: 'errorRate',
    windowStart: null,
    windowMs: null,
    errorRate: null,
    attempts: null,
    since: NOW,
    at: NOW,
    heartbeat: false,
  },
];

const reserved = (
  change: Partial<MessageRequest> = {},
  over: Partial<BudgetReserved> = {},
): BudgetReserved => ({
  deduped: deduped(change),
  cashMicros: 80_000n,
  units: 1,
  currency: 'CNY',
  leaseId: null,
  candidates: ['sms', 'app_push'],
  reservedAt: NOW,
  ...over,
});

interface World {
  readonly levels?: [string, BreakerLevel][];
  readonly config?: ReturnType<typeof configTable>;
  readonly lane?: string;
}

const decide = (
  value: BudgetReserved,
  { levels = [], config = configTable(), lane = 'p1' }: World = {},
) => {
  const one = record('reserved', value, 7, {
    at: { topic: `x.ingest.${lane}`, partition: 2, offset: 7 },
  });
  const tables = { config, levels: new Map(levels) };
  return stage.decide(one, null, { now: NOW, tables, state: {} });
};

const only = (...args: Parameters<typeof decide>) => {
  const [emitted, ...more] = decide(...args).emit ?? [];
  expect(more).toEqual([]);
  if (emitted === undefined) throw new Error('one output');
  return emitted;
};

/** The routes in order: the chosen one, then the alternatives. */
const order = (...args: Parameters<typeof decide>) => {
  const emitted = only(...args);
  if (emitted.to !== 'routed') return emitted.value.reason;
  const { channel, provider, alternatives } = emitted.value;
  return [`${channel}/${provider}`, ...alternatives].join(' ');
};

const gold = { recipient: { ...request().recipient, tier: 'gold' } };
const SMS = 'sms/cheap sms/dear';

test.each<[string, Partial<MessageRequest>, World, string]>([
  ["the request's own order", {}, {}, `${SMS} app_push/push`],
  [
    "high-value recipients' marketing by push",
    { ...gold, attribute: 'marketing' },
    {},
    `app_push/push ${SMS}`,
  ],
  [
    'marketing of others as the request prefers',
    { attribute: 'marketing' },
    {},
    `${SMS} app_push/push`,
  ],
  ['transactional by sms', { ...gold, attribute: 'transactional' }, {}, `${SMS} app_push/push`],
  ['a rule of a lane', {}, { lane: 'p3' }, `app_push/push ${SMS}`],
  [
    'the first rule that matches, not the last',
    { attribute: 'transactional' },
    { lane: 'p3' },
    `${SMS} app_push/push`,
  ],
  [
    'an avoided provider after all others',
    {},
    { levels: [level('channel/sms/cheap')] },
    'sms/dear app_push/push sms/cheap',
  ],
  [
    'an avoided channel after another',
    { attribute: 'transactional' },
    { levels: [level('channel/sms/cheap'), level('channel/sms/dear')] },
    `app_push/push ${SMS}`,
  ],
  [
    'all avoided: never forbidden',
    {},
    { levels: ['sms/cheap', 'sms/dear', 'app_push/push'].map((one) => level(`channel/${one}`)) },
    `${SMS} app_push/push`,
  ],
  [
    'a level that does not say avoid',
    {},
    { levels: [level('channel/sms/cheap', false)] },
    `${SMS} app_push/push`,
  ],
])('routes by %s', (_, change, world, expected) => {
  expect(order(reserved(change), world)).toBe(expected);
});

describe('route', () => {
  test('names the price and units of the chosen route, and when it is too late', () => {
    expect(
      only(reserved({ templateId: 'long' }, { cashMicros: 240_000n, units: 3 })),
    ).toMatchObject({
      to: 'routed',
      key: 'user-key',
      value: {
        channel: 'sms',
        provider: 'cheap',
        priceMicros: 150_000n,
        units: 3,
        attempt: 1,
        routeAttempt: 1,
        ambiguous: false,
        diversions: 0,
        dueAt: null,
        expiresAt: NOW - 1_000 + 72 * HOUR,
        routedAt: NOW,
      },
    });
  });

  test.each<[Partial<MessageRequest>, number]>([
    [{ expiresAt: NOW + 5 }, NOW + 5],
    [{ notBefore: NOW + HOUR }, NOW + 73 * HOUR],
    [{ notBefore: NOW - 9 * HOUR }, NOW - 1_000 + 72 * HOUR],
  ])('%o expires at %d', (change, expiresAt) => {
    expect(only(reserved(change)).value).toMatchObject({ expiresAt });
  });

  test('takes only routes that the reservation pays for', () => {
    expect(order(reserved({}, { cashMicros: 79_999n }))).toBe('sms/cheap app_push/push');
    expect(order(reserved({}, { currency: 'USD', candidates: ['sms'] }))).toBe('sms/foreign');
  });

  test.each<[string, Partial<MessageRequest>, Partial<BudgetReserved>, string]>([
    ['nothing is paid for', {}, { cashMicros: 1n }, 'no_channel'],
    ['the template grew', { templateId: 'long' }, {}, 'no_channel'],
    ['the channel is gone', {}, { candidates: ['fax'] }, 'no_channel'],
    ['the template is gone', { templateId: 'nothing' }, {}, 'unknown_template'],
    ['its time has passed', { expiresAt: NOW }, {}, 'expired'],
  ])('refuses and voids where %s', (_, change, over, reason) => {
    const value = reserved(change, { ...over, leaseId: 'lease' });
    const emitted = only(value);
    expect(emitted).toMatchObject({
      to: 'refused',
      key: 'user-key',
      value: {
        reason,
        settlement: {
          kind: 'void',
          cashMicros: value.cashMicros,
          units: 1,
          currency: 'CNY',
          leaseId: 'lease',
        },
      },
    });
    for (const canary of CANARIES) expect(asText(emitted)).not.toContain(canary);
  });

  test('a retryable refusal frees its key after the commit', async () => {
    const released: Release[] = [];
    const firstSeen = {
      release: (releases: readonly Release[]) => {
        released.push(...releases);
        return Promise.resolve();
      },
    };
    await stage.committed?.(
      [
        decide(reserved({}, { cashMicros: 1n })),
        decide(reserved({ expiresAt: NOW })),
        decide(reserved()),
      ],
      { firstSeen },
    );
    expect(released.map(({ at }) => at.offset)).toEqual([7]);
  });

  test('a defect of ours voids too', () => {
    const tables = { config: configTable(), levels: new Map() };
    const view = { now: NOW, tables, state: {} };
    expect(
      stage.failed?.(record('reserved', reserved()), new Error('x'), view, null),
    ).toMatchObject({
      emit: [{ value: { reason: 'internal', settlement: { kind: 'void', cashMicros: 80_000n } } }],
    });
  });

  test('whatever is avoided, each affordable route is there once', () => {
    const all = ['sms/cheap', 'sms/dear', 'app_push/push'];
    fc.assert(
      fc.property(
        fc.subarray(all),
        fc.constantFrom('marketing', 'transactional', 'x'),
        (avoided, attribute) => {
          const levels = avoided.map((one) => level(`channel/${one}`));
          const routes = order(reserved({ ...gold, attribute }), { levels }).split(' ');
          expect([...routes].sort()).toEqual([...all].sort());
          // Avoided ones are the last.
          expect(routes.slice(routes.length - avoided.length).sort()).toEqual([...avoided].sort());
        },
      ),
    );
  });
});
