import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { MessageRequest } from '../../schemas/generated/records.js';
import { channelsOf, policyOf, templatesOf, tenantsOf } from '../configuration.js';
import type { Release } from '../dedupe/first-seen.js';
import { keyHash } from '../dedupe/key.js';
import { recipientHash } from '../recipient-hash.js';
import {
  CANARIES,
  NOW,
  asText,
  configTable,
  deduped,
  record,
  request,
} from '../testing/intake-fixtures.js';
import type { Payer } from '../dedupe/own-reservations.js';
import type { ReserveFact } from './budget-reserve.js';
import { budgetReserve } from './budget-reserve.js';
import type { ReservationDecision, ReservationRequest } from './reservations.js';
import { worstCase } from './worst-case.js';

const config = configTable();
const tariff = {
  tenants: tenantsOf(config),
  templates: templatesOf(config),
  channels: channelsOf(config),
  policy: policyOf(config),
};

/** Candidates, micros and units; or the refusal. */
const priced = (change: Partial<MessageRequest>) => {
  const pricing = worstCase(request(change), tariff);
  return pricing.kind === 'refused'
    ? [pricing.refusal.reason, pricing.refusal.field].join(' ')
    : `${pricing.candidates.join(',')} ${pricing.cashMicros} ${pricing.units} ${pricing.currency}`;
};

const nobody = { ...request().recipient, phone: null, email: '', pushTokens: [] };

test.each<[string, Partial<MessageRequest>, string]>([
  ["policy's channels, where none are listed", {}, 'sms,app_push 80000 1 CNY'],
  [
    'the listed ones, in their order',
    { channels: ['app_push', 'sms'] },
    'app_push,sms 80000 1 CNY',
  ],
  ['a channel listed twice, once', { channels: ['sms', 'sms'] }, 'sms 80000 1 CNY'],
  [
    "a template's units times the dearest provider",
    { templateId: 'long' },
    'sms,app_push 240000 3 CNY',
  ],
  [
    'the dearest of the candidates, not of all channels',
    { channels: ['app_push'] },
    'app_push 2000 1 CNY',
  ],
  ['only providers within the cap', { maxCostMicros: 79_999n }, 'sms,app_push 50000 1 CNY'],
  ['only channels within the cap', { maxCostMicros: 49_999n }, 'app_push 2000 1 CNY'],
  ['a cap that leaves none', { maxCostMicros: 1_999n }, 'no_channel channels'],
  ['a cap of units below the template', { templateId: 'long', units: 2 }, 'no_channel channels'],
  ['a cap of units above it', { templateId: 'long', units: 9 }, 'sms,app_push 240000 3 CNY'],
  ['no phone', { recipient: { ...request().recipient, phone: null } }, 'app_push 2000 1 CNY'],
  ['no address at all', { recipient: nobody }, 'no_address recipient'],
  ['an empty mailbox', { recipient: nobody, channels: ['email'] }, 'no_address recipient'],
  [
    'no address, and a channel that is not configured',
    { recipient: nobody, channels: ['sms', 'fax'] },
    'no_channel channels',
  ],
  ['only channels that are not configured', { channels: ['fax', 'telex'] }, 'no_channel channels'],
  ['one that is configured, among others', { channels: ['fax', 'sms'] }, 'sms 80000 1 CNY'],
  ['a webhook of a tenant that has one', { channels: ['webhook'] }, 'webhook 1000 1 CNY'],
  [
    'a webhook of one that has none',
    { channels: ['webhook'], tenantId: 'globex' as never },
    'no_channel channels',
  ],
  [
    "only providers in the account's currency",
    { businessLine: 'abroad', channels: ['sms'] },
    'sms 10000 1 USD',
  ],
  [
    "no provider in the account's currency",
    { businessLine: 'abroad', channels: ['app_push'] },
    'no_channel channels',
  ],
  ["the account's currency", { currency: 'CNY' }, 'sms,app_push 80000 1 CNY'],
  ['another currency', { currency: 'EUR' }, 'currency currency'],
  ['an unknown business line', { businessLine: 'none' }, 'invalid businessLine'],
])('worst case: %s', (_, change, expected) => {
  expect(priced(change)).toBe(expected);
});

test('no candidate costs more than the worst case, and none exceeds the cap', () => {
  fc.assert(
    fc.property(
      fc.subarray(['sms', 'app_push', 'webhook', 'email', 'fax']),
      fc.option(fc.bigInt({ min: 0n, max: 300_000n })),
      fc.constantFrom('code', 'long'),
      (channels, maxCostMicros, templateId) => {
        const pricing = worstCase(request({ channels, maxCostMicros, templateId }), tariff);
        if (pricing.kind === 'refused') return;
        expect(pricing.cashMicros).toBeLessThanOrEqual(maxCostMicros ?? pricing.cashMicros);
        for (const channel of pricing.candidates) {
          const alone = worstCase(
            request({ channels: [channel], maxCostMicros, templateId }),
            tariff,
          );
          if (alone.kind === 'refused') throw new Error('a candidate alone is one too');
          expect(alone.cashMicros).toBeLessThanOrEqual(pricing.cashMicros);
        }
      },
    ),
  );
});

const stage = budgetReserve({ recipientHash: recipientHash('secret') });
const view = { now: NOW, tables: { config }, state: {} };

const run = async (
  change: Partial<MessageRequest>,
  decision: ReservationDecision | null,
  tables = { config },
  paid = false,
) => {
  const asked: ReservationRequest[] = [];
  const released: Release[] = [];
  const ports = {
    reservations: {
      takeOver: () => Promise.resolve(),
      reservedBy: (records: readonly Payer[]) => Promise.resolve(records.map(() => paid)),
      reserve: (batch: readonly ReservationRequest[]) => {
        asked.push(...batch);
        if (decision === null) throw new Error('not to be asked');
        return Promise.resolve(batch.map(() => decision));
      },
    },
    firstSeen: {
      release: (releases: readonly Release[]) => {
        released.push(...releases);
        return Promise.resolve();
      },
    },
  };
  const one = record('deduped', deduped(change));
  const [fact] = await stage.gather([one], ports, { now: NOW, tables, stateOf: () => ({}) });
  if (fact === undefined) throw new Error('a fact a record');
  const decided = stage.decide(one, fact, { ...view, tables });
  await stage.committed([decided], ports);
  const [emitted] = decided.emit ?? [];
  if (emitted === undefined) throw new Error('one output');
  return { emitted, asked, released };
};

const reserved = { kind: 'reserved', cashMicros: 80_000n, units: 1 } as const;
const firstAt = { topic: 'x.ingest.p0', partition: 0, offset: 3 };

describe('budget-reserve', () => {
  test('asks for the worst case under the record that brought it, and passes it on', async () => {
    const { emitted, asked, released } = await run({ units: 5, maxCostMicros: 90_000n }, reserved);
    expect(asked).toEqual([
      {
        tenantId: 'acme',
        businessLine: 'promo',
        messageId: request().messageId,
        generation: 0,
        createdAt: NOW - 1_000,
        expiresAt: NOW - 1_000 + 72 * 3_600_000,
        at: { topic: 'x.ingest.p1', partition: 2, offset: 7 },
        cashMicros: 80_000n,
        units: 1,
        currency: 'CNY',
        unitsCap: 5,
        cashCapMicros: 90_000n,
        candidates: [
          { channel: 'sms', cashMicros: 80_000n },
          { channel: 'app_push', cashMicros: 2_000n },
        ],
      },
    ]);
    expect(emitted).toMatchObject({
      to: 'reserved',
      key: 'user-key',
      value: {
        cashMicros: 80_000n,
        units: 1,
        currency: 'CNY',
        leaseId: null,
        candidates: ['sms', 'app_push'],
        reservedAt: NOW,
      },
    });
    expect(released).toEqual([]);
  });

  test('does not ask the ledger for what has no channel', async () => {
    const { emitted } = await run({ recipient: nobody }, null);
    expect(emitted).toMatchObject({
      to: 'refused',
      value: { reason: 'no_address', settlement: { kind: 'none' } },
    });
  });

  test('voids what this record reserved before its transaction was aborted, where it has no channel any more', async () => {
    const { emitted } = await run({ recipient: nobody }, null, { config }, true);
    expect(emitted).toMatchObject({
      to: 'refused',
      value: { reason: 'no_address', settlement: { kind: 'void' } },
    });
  });

  test('emits the stored amounts again, with the candidates that they still pay for', async () => {
    const { emitted } = await run({}, { kind: 'reserved', cashMicros: 2_000n, units: 1 });
    expect(emitted).toMatchObject({
      to: 'reserved',
      value: { cashMicros: 2_000n, candidates: ['app_push'] },
    });
  });

  test.each<[string, ReservationDecision, readonly string[]]>([
    [
      'that have quota, in order of preference',
      { ...reserved, channels: ['app_push', 'sms'] },
      ['sms', 'app_push'],
    ],
    ['that have quota', { ...reserved, channels: ['app_push'] }, ['app_push']],
    [
      'that have quota, are paid for and still configured',
      { kind: 'reserved', cashMicros: 2_000n, units: 1, channels: ['fax', 'app_push'] },
      ['app_push'],
    ],
  ])('passes on the candidates %s', async (_, decision, candidates) => {
    const { emitted } = await run({}, decision);
    expect(emitted).toMatchObject({ to: 'reserved', value: { candidates } });
  });

  test('voids what was reserved where the configuration left no channel that had quota', async () => {
    const { emitted } = await run({}, { ...reserved, channels: ['fax'] });
    expect(emitted).toMatchObject({
      to: 'refused',
      value: { reason: 'no_channel', settlement: { kind: 'void' } },
    });
  });

  test('voids what was reserved where prices left no candidate', async () => {
    const { emitted } = await run({}, { kind: 'reserved', cashMicros: 1n, units: 1 });
    expect(emitted).toMatchObject({
      to: 'refused',
      value: {
        reason: 'no_channel',
        retryable: true,
        settlement: { kind: 'void', cashMicros: 1n, units: 1, currency: 'CNY' },
      },
    });
  });

  test.each<[ReservationDecision, string, boolean]>([
    [{ kind: 'duplicate', firstAt }, 'duplicate', false],
    [{ kind: 'idempotency_conflict', firstAt }, 'idempotency_conflict', false],
    [{ kind: 'unknown_account' }, 'invalid', false],
    [{ kind: 'account_closed' }, 'account_closed', false],
    [{ kind: 'currency' }, 'currency', false],
    [{ kind: 'budget_cash' }, 'budget_cash', true],
    [{ kind: 'budget_pv' }, 'budget_pv', true],
    [{ kind: 'quota' }, 'quota', true],
    [{ kind: 'too_old' }, 'expired', false],
  ])('%o: refused %s, key freed: %s', async (decision, reason, retryable) => {
    const { emitted, released } = await run({ idempotencyKey: 'k' }, decision);
    expect(emitted).toMatchObject({
      to: 'refused',
      value: {
        reason,
        retryable,
        settlement: { kind: 'none' },
        firstSource: 'firstAt' in decision ? firstAt : null,
        firstMessageId: 'firstAt' in decision ? request().messageId : null,
      },
    });
    for (const canary of CANARIES) expect(asText(emitted)).not.toContain(canary);
    expect(released).toEqual(
      retryable
        ? [
            {
              key: keyHash(request({ idempotencyKey: 'k' })),
              at: { topic: 'x.ingest.p1', partition: 2, offset: 7 },
            },
          ]
        : [],
    );
  });

  describe('a defect of ours', () => {
    const one = record('deduped', deduped());
    const told = (fact: ReserveFact | null) => stage.failed(one, new Error('x'), view, fact).emit;
    const refusal = (kind: string) => [
      { to: 'refused', value: { reason: 'internal', settlement: { kind } } },
    ];
    const asked = (decision: ReservationDecision): ReserveFact => {
      const worst = worstCase(one.value.request, tariff);
      if (worst.kind === 'refused') throw new Error('it has a price');
      return { kind: 'asked', worst, decision, candidates: [] };
    };

    test('voids what this record reserved', () => {
      expect(told(asked(reserved))).toMatchObject(refusal('void'));
    });

    test.each<[string, ReserveFact | null]>([
      ['of which another record reserved', asked({ kind: 'duplicate', firstAt })],
      ['that was short of money', asked({ kind: 'budget_cash' })],
      ['of which nothing is known', null],
    ])('voids nothing for a record %s', (_, fact) => {
      expect(told(fact)).toMatchObject(refusal('none'));
    });

    test.each([
      [true, 'void'],
      [false, 'none'],
    ])(
      'where nothing could be gathered the ledger says whose it is: %s, %s',
      async (holds, kind) => {
        const payers: Payer[] = [];
        const reservations = {
          takeOver: () => Promise.reject(new Error('not to be asked')),
          reserve: () => Promise.reject(new Error('not to be asked')),
          reservedBy: (records: readonly Payer[]) => {
            payers.push(...records);
            return Promise.resolve(records.map(() => holds));
          },
        };
        const firstSeen = { release: () => Promise.resolve() };
        const fact = await stage.gatherFailed(one, { reservations, firstSeen });
        expect(payers).toMatchObject([
          { messageId: request().messageId, generation: 0, at: one.at },
        ]);
        expect(told(fact)).toMatchObject(refusal(kind));
      },
    );
  });

  test('without configuration it stops: a message must not be refused for that', async () => {
    await expect(run({}, reserved, { config: new Map() })).rejects.toMatchObject({
      code: 'config_invalid',
      verdict: 'stop',
    });
  });
});
