import { expect, test } from 'vitest';
import { messageId, tenantId } from '../../schemas/brand.js';
import type { ProviderConfig } from '../../schemas/config.js';
import type {
  DeliveryFeedback,
  DeliveryState,
  ProviderReceipt,
} from '../../schemas/generated/records.js';
import { feedbackId } from '../feedback-id.js';
import type { Decision, View } from '../processor.js';
import { configEntries, NOW, provider, sms } from '../send/fixtures.js';
import type { Receipts } from './contract.js';
import type { AttemptRow, ReceiptAnswer } from './receipt-log.js';
import { receipts } from './receipts.js';

const ATTEMPT = {
  tenantId: tenantId('acme'),
  messageId: messageId('0198f3c2-7b1e-7c55-9a1b-3d2f4e5a6b7c'),
  generation: 0,
  attempt: 2,
};

const receipt = (change: Partial<ProviderReceipt> = {}): ProviderReceipt => ({
  provider: 'first',
  channel: 'sms',
  origin: 'carrier',
  attempt: ATTEMPT,
  providerMessageId: 'biz-1',
  state: 'delivered',
  class: null,
  providerCode: 'DELIVERED',
  units: 1,
  reportedAt: 0,
  receivedAt: NOW,
  deferrals: 0,
  dueAt: null,
  ...change,
});

const row = (change: Partial<AttemptRow> = {}): AttemptRow => ({
  ...ATTEMPT,
  key: 'producer-key',
  lane: 'p2',
  channel: 'sms',
  provider: 'first',
  providerMessageId: 'biz-1',
  businessLine: 'promotions',
  campaignId: null,
  templateId: 'welcome',
  recipientHash: 'hash',
  labels: { shop: '7' },
  createdAt: NOW - 5_000,
  attemptedAt: NOW - 4_000,
  occurredAt: NOW - 3_900,
  state: 'accepted',
  class: null,
  terminal: false,
  sequence: 2,
  postedCashMicros: 45_000n,
  postedUnits: 1,
  currency: 'CNY',
  leaseId: null,
  reservation: { cashMicros: 100_000n, units: 2, currency: 'CNY', state: 'posted' },
  ...change,
});

const HELD = {
  state: 'held',
  class: 'timeout',
  postedCashMicros: 0n,
  postedUnits: 0,
  reservation: { cashMicros: 100_000n, units: 2, currency: 'CNY', state: 'pending' },
} as const satisfies Partial<AttemptRow>;

const seen = (config: ProviderConfig, now = NOW): View<Receipts> => ({
  now,
  state: {},
  tables: { config: configEntries([sms(config)]) },
});

const decide = (
  report: ProviderReceipt,
  answer: ReceiptAnswer,
  config: Partial<ProviderConfig> = {},
  now = NOW,
): Decision<Receipts> =>
  receipts.decide(
    {
      from: 'receipts',
      at: { topic: 'receipts', partition: 0, offset: 1 },
      key: null,
      value: report,
      timestamp: NOW,
      headers: {},
      size: 1,
    },
    answer,
    seen(provider(config), now),
  );

const feedbackOf = ({ emit }: Decision<Receipts>): DeliveryFeedback | undefined =>
  emit?.flatMap((one) => (one.to === 'feedback' ? [one.value] : []))[0];
const resolvedOf = ({ emit }: Decision<Receipts>): unknown =>
  emit?.find(({ to }) => to === 'unknown');

interface Row {
  readonly from: Partial<AttemptRow>;
  readonly report: Partial<ProviderReceipt>;
  readonly config?: Partial<ProviderConfig>;
  readonly state: DeliveryState | null;
  readonly terminal?: boolean;
  readonly kind?: DeliveryFeedback['settlement']['kind'];
  readonly cashMicros?: bigint;
  readonly units?: number;
  readonly resolves?: boolean;
}

test.each<Row>([
  // accepted: the reservation is posted already
  { from: {}, report: {}, state: 'delivered', terminal: true, kind: 'none' },
  {
    from: {},
    report: { state: 'failed', class: 'recipient' },
    state: 'failed',
    terminal: true,
    kind: 'reverse',
    cashMicros: 45_000n,
    units: 1,
  },
  {
    from: {},
    report: { state: 'failed', class: 'recipient' },
    config: { billing: 'on_acceptance' },
    state: 'failed',
    terminal: true,
    kind: 'none',
  },
  { from: {}, report: { state: 'accepted' }, state: null },
  {
    from: {},
    report: { state: 'unknown', origin: 'expiry' },
    state: 'unknown',
    terminal: true,
    kind: 'none',
  },
  // delivered, then bounced: reports are not monotonic
  {
    from: { state: 'delivered', terminal: true },
    report: { state: 'failed', class: 'recipient' },
    state: 'failed',
    terminal: true,
    kind: 'reverse',
    cashMicros: 45_000n,
    units: 1,
  },
  // held: the reservation is pending
  {
    from: HELD,
    report: {},
    state: 'delivered',
    terminal: true,
    kind: 'post',
    cashMicros: 45_000n,
    units: 1,
    resolves: true,
  },
  {
    from: HELD,
    report: { state: 'accepted', origin: 'late_answer' },
    state: 'accepted',
    terminal: false,
    kind: 'post',
    cashMicros: 45_000n,
    units: 1,
    resolves: true,
  },
  {
    from: HELD,
    report: { state: 'accepted', origin: 'late_answer' },
    config: { receipts: false },
    state: 'accepted',
    terminal: true,
    kind: 'post',
    cashMicros: 45_000n,
    units: 1,
    resolves: true,
  },
  {
    from: HELD,
    report: { state: 'failed', class: 'recipient' },
    state: 'failed',
    terminal: true,
    kind: 'void',
    cashMicros: 100_000n,
    units: 2,
    resolves: true,
  },
  {
    from: HELD,
    report: { state: 'unknown', origin: 'expiry' },
    state: 'unknown',
    terminal: true,
    kind: 'void',
    cashMicros: 100_000n,
    units: 2,
    resolves: true,
  },
  {
    from: HELD,
    report: { state: 'unknown', origin: 'expiry' },
    config: { billing: 'on_acceptance' },
    state: 'unknown',
    terminal: true,
    kind: 'post',
    cashMicros: 45_000n,
    units: 1,
    resolves: true,
  },
  // a price that rose since never posts more than was reserved
  {
    from: HELD,
    report: {},
    config: { price: '9.00' },
    state: 'delivered',
    terminal: true,
    kind: 'post',
    cashMicros: 100_000n,
    units: 1,
    resolves: true,
  },
  // an attempt that was tried again: the later one settles
  {
    from: { ...HELD, state: 'unknown' },
    report: {},
    state: 'delivered',
    terminal: false,
    kind: 'none',
  },
  {
    from: { ...HELD, state: 'unknown' },
    report: { state: 'failed', class: 'provider' },
    state: null,
  },
  // failed and voided: delivered after all is told, and not charged
  {
    from: { state: 'failed', terminal: true, postedCashMicros: 0n, postedUnits: 0 },
    report: {},
    state: 'delivered',
    terminal: true,
    kind: 'none',
  },
  // paid back once, never twice
  {
    from: { postedCashMicros: 0n, postedUnits: 0 },
    report: { state: 'failed', class: 'recipient' },
    state: 'failed',
    terminal: true,
    kind: 'none',
  },
])('$from.state $report.state $config: $state $kind', (expected) => {
  const decision = decide(
    receipt(expected.report),
    { kind: 'first', attempt: row(expected.from) },
    expected.config,
  );
  const feedback = feedbackOf(decision);
  if (expected.state === null) {
    expect(decision).toEqual({});
    return;
  }
  expect(feedback).toMatchObject({
    state: expected.state,
    terminal: expected.terminal,
    sequence: 3,
    lane: 'p2',
    attempt: 2,
    occurredAt: NOW,
    attemptedAt: NOW - 4_000,
    settlement: {
      kind: expected.kind,
      cashMicros: expected.cashMicros ?? 0n,
      units: expected.units ?? 0,
      currency: 'CNY',
    },
  });
  expect(feedback?.feedbackId).toBe(
    feedbackId(ATTEMPT, expected.state === 'unknown' ? 'unknown.end' : expected.state),
  );
  expect(decision.emit?.[0]?.key).toBe('producer-key');
  if (expected.resolves === true)
    expect(resolvedOf(decision)).toEqual({
      to: 'unknown',
      key: 'acme|0198f3c2-7b1e-7c55-9a1b-3d2f4e5a6b7c|0|2|p2',
      value: null,
    });
  else expect(resolvedOf(decision)).toBeUndefined();
});

test('the same record read again writes the same; another record of the same report writes nothing', () => {
  const first = decide(receipt(), { kind: 'first', attempt: row() });
  expect(decide(receipt(), { kind: 'again', attempt: row() })).toEqual(first);
  expect(decide(receipt(), { kind: 'already' })).toEqual({});
});

test('a report that comes before its attempt waits, and is not lost', () => {
  const decision = decide(receipt(), { kind: 'unknown_attempt', passed: NOW - 1_000 });
  expect(decision.emit).toMatchObject([
    { to: 'retry', value: { deferrals: 1, dueAt: NOW + 5_000, providerMessageId: 'biz-1' } },
  ]);
});

test.each([
  { it: 'the sink has long passed its time', passed: NOW + 601_000, now: NOW + 602_000 },
  { it: 'an hour has gone', passed: null, now: NOW + 3_600_000 },
])('a report of no attempt of ours is a dead letter once $it', ({ passed, now }) => {
  expect(() => decide(receipt(), { kind: 'unknown_attempt', passed }, {}, now)).toThrow(
    expect.objectContaining({ code: 'undecidable', verdict: 'dead-letter' }),
  );
});

test('a report waits while an earlier one of its attempt is on its way to feedback', () => {
  expect(decide(receipt(), { kind: 'earlier_pending' }).emit).toMatchObject([
    { to: 'retry', value: { deferrals: 1, dueAt: NOW + 5_000, providerMessageId: 'biz-1' } },
  ]);
  // Not by its age: a report that was replayed is old from the start.
  const old = receipt({ receivedAt: NOW - 2 * 3_600_000, deferrals: 719 });
  expect(decide(old, { kind: 'earlier_pending' }).emit).toHaveLength(1);
  expect(() => decide({ ...old, deferrals: 720 }, { kind: 'earlier_pending' })).toThrow(
    expect.objectContaining({ code: 'undecidable', verdict: 'dead-letter' }),
  );
});

test('a held attempt whose reservation nobody knows is a dead letter, never a guess', () => {
  const attempt = row({ ...HELD, reservation: null });
  expect(() => decide(receipt({ state: 'failed' }), { kind: 'first', attempt })).toThrow(
    expect.objectContaining({ code: 'undecidable' }),
  );
});
