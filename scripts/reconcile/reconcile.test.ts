import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { postingSlice } from '../../processors/settle/postings.js';
import { messageId, tenantId } from '../../schemas/brand.js';
import type { DeliveryFeedback, Settlement } from '../../schemas/generated/records.js';
import type { KafkaRecord } from '../../schemas/record.js';
import { attemptRows, postgresAttempts } from '../../sinks/postgres/attempts.js';
import { postgresLedger } from '../../sinks/postgres/ledger.js';
import { postgresSettlements } from '../../sinks/postgres/settlements.js';
import { funded } from '../../sinks/postgres/testing/funded.js';
import { ownedReservations } from '../../sinks/postgres/testing/owned-reservations.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import { reconciliationChore } from '../../topologies/reconciliation-chore.js';
import { dayBefore } from '../../topologies/reconciliation.js';
import { groupOf } from '../../topologies/runtime/worker.js';
import { RequestProducer } from '../produce/request-producer.js';
import { commandLine } from '../testing/command-line.js';
import type { ScratchInstallation } from '../testing/scratch-installation.js';
import { scratchInstallation } from '../testing/scratch-installation.js';

const DAY = dayBefore(Date.now());
const NOON = Date.parse(`${DAY}T12:00:00Z`);
const TENANT = tenantId('audited');
const HELD = 45_000n;
const PRICE = 40_000n;

let own: ScratchInstallation;
let millrace: ReturnType<typeof commandLine>;
let folder: string;
let next = 0;
let producer: RequestProducer;
let settlements: ReturnType<typeof postgresSettlements>;
let attempts: ReturnType<typeof postgresAttempts>;

beforeAll(async () => {
  own = await scratchInstallation(
    ({ name }, names) => name === names.config || name === names.feedback,
    1,
  );
  millrace = commandLine(own.variables);
  folder = await mkdtemp(path.join(tmpdir(), 'millrace-reconcile-'));
  expect(await millrace('config', 'apply')).toMatchObject({ code: 0 });
  await funded(own.database, {
    transferId: 'audited',
    tenantId: TENANT,
    businessLine: 'promo',
    currency: 'CNY',
    cashMicros: 100_000_000n,
    units: 1_000n,
  });
  producer = await RequestProducer.open(own.kafka, () => undefined);
  settlements = postgresSettlements(own.database, groupOf(own.kafka.prefix, 'settle'));
  attempts = postgresAttempts(own.database, groupOf(own.kafka.prefix, 'attempts'));
  const partition = { topic: own.names.feedback, partition: 0, beginning: 0 };
  await settlements.loadOffsets([partition]);
  await attempts.loadOffsets([partition]);
  await attempts.caughtUp([partition], Date.now());
});
afterAll(async () => {
  await producer.close();
  await own.remove();
  await rm(folder, { recursive: true });
});

let messages = 0;
const fresh = (): number => (messages += 1);
const id = (n: number) => messageId(`00000000-0000-4000-8000-${n.toString().padStart(12, '0')}`);
const money = (kind: Settlement['kind'], cashMicros = PRICE): Settlement => ({
  kind,
  cashMicros,
  units: 1,
  currency: 'CNY',
  leaseId: null,
});

const feedback = (n: number, over: Partial<DeliveryFeedback> = {}): DeliveryFeedback => ({
  feedbackId: id(1_000_000 + n),
  messageId: id(n),
  generation: 0,
  tenantId: TENANT,
  businessLine: 'promo',
  campaignId: null,
  templateId: 'sale',
  lane: 'p1',
  attempt: 1,
  sequence: 1,
  channel: 'sms',
  provider: 'aliyun-sms',
  state: 'accepted',
  terminal: true,
  class: null,
  providerCode: 'OK',
  providerMessageId: `biz-${n}`,
  settlement: money('post'),
  recipientHash: 'ab'.repeat(32),
  createdAt: NOON,
  attemptedAt: NOON + 10,
  occurredAt: NOON + 20,
  labels: { city: '杭州' },
  ...over,
});
const FAILED = { state: 'failed', class: 'recipient', settlement: money('void', HELD) } as const;
const BACK = {
  sequence: 2,
  state: 'failed',
  class: 'recipient',
  settlement: money('reverse'),
} as const;

const reserve = async (n: number, businessLine = 'promo'): Promise<void> => {
  const [decision] = await ownedReservations(own.database).reserve([
    {
      tenantId: TENANT,
      businessLine,
      messageId: id(n),
      generation: 0,
      createdAt: NOON,
      at: { topic: 'deduped.p1', partition: 0, offset: n },
      cashMicros: HELD,
      units: 1,
      currency: 'CNY',
      unitsCap: null,
      cashCapMicros: null,
    },
  ]);
  expect(decision?.kind).toBe('reserved');
};

const recordOf = (value: DeliveryFeedback, offset: number): KafkaRecord<DeliveryFeedback> => ({
  at: { topic: own.names.feedback, partition: 0, offset },
  key: Buffer.from(value.messageId),
  value,
  timestamp: value.occurredAt,
  headers: {},
  size: 300,
});

/** Feedback to Kafka and into both sinks; `lost`: a sink that moves on without it, or has not come so far. */
const tell = async (
  values: readonly DeliveryFeedback[],
  lost: { settle?: 'lost' | 'behind'; attempts?: 'lost' } = {},
): Promise<(() => Promise<void>) | undefined> => {
  const codec = own.codecs.of('DeliveryFeedback', own.names.feedback);
  for (const value of values)
    await producer.send({
      topic: own.names.feedback,
      partition: 0,
      key: value.messageId,
      value: codec.encode(value),
    });
  await producer.settle();
  const records = values.map((value, index) => recordOf(value, next + index));
  const slice = {
    topic: own.names.feedback,
    partition: 0,
    start: next,
    next: next + values.length,
  };
  next = slice.next;
  await attempts.apply([{ ...slice, records: lost.attempts === 'lost' ? [] : records }]);
  const settle = async () => {
    await settlements.apply([
      postingSlice({ ...slice, records: lost.settle === 'lost' ? [] : records }),
    ]);
  };
  if (lost.settle === 'behind') return settle;
  await settle();
  return undefined;
};

const run = (text: string, values: readonly unknown[] = []) =>
  own.database.query({ name: '', text }, values);

interface Found {
  readonly class: string;
  readonly messageId: string | null;
  readonly businessLine: string | null;
  readonly tenantId: string | null;
  readonly cashMicros: number;
  readonly units: number;
  readonly currency: string;
  readonly detail: string;
  readonly bookable: boolean;
}
interface Report {
  readonly breaks: number;
  readonly comparisons: readonly { comparison: string; done: boolean; note: string }[];
  readonly examples: readonly Found[];
  readonly applied: { money: Record<string, number>; attempts: number } | null;
}
const reconcile = async (...more: readonly string[]): Promise<Report> => {
  const said = await millrace('reconcile', '--json', ...more);
  expect(said.err).toBe('');
  const report = said.json() as Report;
  expect(said.code).toBe(report.breaks === 0 ? 0 : 3);
  return report;
};
const apply = () => reconcile('--apply', '--reason', 'a test');
/** Class, amount and whether it is bookable, of a message's breaks. */
const ofMessage = (report: Report, n: number) =>
  report.examples
    .filter((one) => one.messageId === id(n))
    .map((one) => [one.class, one.cashMicros, one.units, one.bookable] as const);

const counters = async () => {
  const found = (await postgresLedger(own.database).balances()).find(
    (one) => one.tenantId === TENANT && one.businessLine === 'promo',
  );
  return found?.cash;
};

test('what adds up has no breaks: posted, voided, paid back, pending, and refused before an attempt', async () => {
  const [posted, voided, back, pending] = [fresh(), fresh(), fresh(), fresh()];
  for (const n of [posted, voided, back, pending]) await reserve(n);
  await tell([
    feedback(posted),
    feedback(voided, FAILED),
    feedback(back),
    feedback(back, BACK),
    // The same event, written twice.
    feedback(posted),
  ]);
  const report = await reconcile();
  expect(report).toMatchObject({ breaks: 0, examples: [] });
  expect(report.comparisons.map(({ done }) => done)).toEqual([true, true, true]);
});

test('what settle has not taken up yet is under way, and no break', async () => {
  const n = fresh();
  await reserve(n);
  const settle = await tell([feedback(n)], { settle: 'behind' });
  const report = await reconcile();
  expect(report).toMatchObject({ breaks: 0 });
  expect(report.comparisons[1]?.note).toContain('1 events are under way');
  await settle?.();
  expect(await reconcile()).toMatchObject({ breaks: 0 });
});

test('the workers reconcile a day once, keep what they found, and book nothing', async () => {
  const n = fresh();
  await reserve(n);
  await tell([feedback(n)], { settle: 'lost' });
  const before = await counters();
  const found: Readonly<Record<string, number>>[] = [];
  const logged: unknown[] = [];
  const note = (about: unknown) => logged.push(about);
  const chore = () =>
    reconciliationChore({
      database: own.database,
      request: {
        postgres: {
          url: own.variables['DATABASE_URL'] ?? '',
          schema: own.variables['DATABASE_SCHEMA'] ?? '',
        },
        settings: rdkafkaConnection(own.kafka),
        codecs: own.codecs,
        feedbackTopic: own.names.feedback,
        groupId: groupOf(own.kafka.prefix, 'restore'),
        retentionMs: 14 * 86_400_000,
        horizonMs: 144 * 3_600_000,
        consumers: {
          settle: groupOf(own.kafka.prefix, 'settle'),
          attempts: groupOf(own.kafka.prefix, 'attempts'),
        },
      },
      log: { warn: note, info: note },
      found: (breaks) => found.push(breaks),
      now: Date.now,
    }).run(new AbortController().signal);
  // Two at once, for a moment, and one after a restart.
  await Promise.all([chore(), chore()]);
  const runs = logged.length;
  await chore();
  expect(logged).toHaveLength(runs);
  expect(found).toHaveLength(3);
  for (const one of found)
    expect(one).toMatchObject({ reservation_unposted: 1, counter_pending: 0, statement_amount: 0 });
  expect(
    await run('select day::text, break_id, cash, currency from reconciliation_breaks'),
  ).toEqual([
    {
      day: DAY,
      break_id: `reservation_unposted/${DAY}/${TENANT}/${id(n)}/0`,
      cash: PRICE,
      currency: 'CNY',
    },
  ]);
  expect(await counters()).toEqual(before);
  await apply();
});

/** A fault and what --apply makes of it; amounts are micros. */
const BOOKED: Record<
  string,
  { seed: (n: number) => Promise<unknown>; amount: number; posted: bigint }
> = {
  reservation_unposted: {
    seed: (n) => tell([feedback(n)], { settle: 'lost' }),
    amount: 40_000,
    posted: PRICE,
  },
  reservation_unvoided: {
    seed: (n) => tell([feedback(n, FAILED)], { settle: 'lost' }),
    amount: 45_000,
    posted: 0n,
  },
  reservation_unreversed: {
    seed: async (n) => {
      await tell([feedback(n)]);
      await tell([feedback(n, BACK)], { settle: 'lost' });
    },
    amount: 40_000,
    posted: 0n,
  },
  voided_but_posted: {
    seed: async (n) => {
      await tell([feedback(n, FAILED)]);
      await tell([feedback(n, { sequence: 2, state: 'delivered' })]);
    },
    amount: 40_000,
    posted: PRICE,
  },
};

test.each(Object.entries(BOOKED))(
  '%s is proposed, booked once with --apply, and gone',
  async (name, { seed, amount, posted }) => {
    const n = fresh();
    const before = await counters();
    await reserve(n);
    await seed(n);
    expect(ofMessage(await reconcile(), n)).toEqual([[name, amount, 1, true]]);
    // Two that found the same at once book it once.
    const [one, other] = await Promise.all([apply(), apply()]);
    expect((one.applied?.money['booked'] ?? 0) + (other.applied?.money['booked'] ?? 0)).toBe(1);
    expect(await reconcile()).toMatchObject({ breaks: 0 });
    const after = await counters();
    expect((after?.posted ?? 0n) - (before?.posted ?? 0n)).toBe(posted);
    expect((after?.available ?? 0n) - (before?.available ?? 0n)).toBe(-posted);
    const [row] = await run('select class, actor, note from corrections where message_id = $1', [
      id(n),
    ]);
    expect(row).toMatchObject({ class: name, note: 'a test' });
  },
);

test.each([
  ['counter_pending', 'cash_pending', 'cash_available', 7, 0],
  ['counter_posted', 'cash_posted', 'cash_available', 11, 0],
  ['counter_posted', 'pv_posted', 'pv_available', 0, 3],
])(
  '%s (%s) is set to what the rows add up to, once each time',
  async (name, column, from, cash, units) => {
    for (let time = 1; time <= 2; time += 1) {
      await run(
        `update budgets set ${column} = ${column} + $1, ${from} = ${from} - $1 where account_id = (select account_id from accounts where tenant_id = $2 and business_line = 'promo')`,
        [cash + units, TENANT],
      );
      expect((await reconcile()).examples).toMatchObject([
        {
          class: name,
          tenantId: TENANT,
          businessLine: 'promo',
          cashMicros: cash,
          units,
          currency: 'CNY',
          bookable: true,
        },
      ]);
      expect((await apply()).applied?.money['booked']).toBe(1);
      expect(await reconcile()).toMatchObject({ breaks: 0 });
    }
  },
);

test('a correction that an account has too little for is not booked, and said', async () => {
  const poor = { tenantId: TENANT, businessLine: 'poor', currency: 'CNY', units: 10n };
  await funded(own.database, { ...poor, transferId: 'poor', cashMicros: HELD });
  const [late, holder] = [fresh(), fresh()];
  await reserve(late, 'poor');
  await tell([feedback(late, FAILED)]);
  await reserve(holder, 'poor');
  await tell([feedback(late, { sequence: 2, state: 'delivered' })]);
  expect((await apply()).applied?.money).toMatchObject({ booked: 0, overdrawn: 1 });
  await tell([feedback(holder, FAILED)]);
  expect((await apply()).applied?.money).toMatchObject({ booked: 1, overdrawn: 0 });
  expect(await reconcile()).toMatchObject({ breaks: 0 });
});

describe('attempts are derived from their feedback again', () => {
  test('attempt_missing', async () => {
    const n = fresh();
    await reserve(n);
    await tell([feedback(n)], { attempts: 'lost' });
    const found = ofMessage(await reconcile(), n).map(([name]) => name);
    expect(found).toEqual(['posted_without_attempt', 'attempt_missing']);
    expect((await apply()).applied?.attempts).toBe(1);
    expect(await reconcile()).toMatchObject({ breaks: 0 });
    const [row] = await run(
      'select labels, state, provider_message_id from attempts where message_id = $1',
      [id(n)],
    );
    expect(row).toEqual({
      labels: { city: '杭州' },
      state: 'accepted',
      provider_message_id: `biz-${n}`,
    });
  });

  test('attempt_differs', async () => {
    const n = fresh();
    await reserve(n);
    await tell([feedback(n), feedback(n, BACK)]);
    await run(`update attempts set posted_cash = 5, state = 'held' where message_id = $1`, [id(n)]);
    const found = (await reconcile()).examples.filter((one) => one.messageId === id(n));
    expect(found.find((one) => one.class === 'attempt_differs')).toMatchObject({
      cashMicros: 5,
      bookable: true,
    });
    await apply();
    expect(await reconcile()).toMatchObject({ breaks: 0 });
  });
});

/** What a machine does not decide: found, proposed, never booked; and how the test takes it away again. */
const LEFT: Record<
  string,
  { seed: (n: number) => Promise<unknown>; mend: (n: number) => Promise<unknown> }
> = {
  posted_twice: {
    seed: (n) =>
      tell([feedback(n), feedback(n, { attempt: 2, sequence: 2, providerMessageId: null })]),
    mend: (n) => tell([feedback(n, { ...BACK, attempt: 2, sequence: 3 })], { settle: 'lost' }),
  },
  post_clamped: {
    seed: (n) => tell([feedback(n, { settlement: money('post', HELD + 1n) })]),
    mend: (n) =>
      tell([feedback(n, { sequence: 2, settlement: { ...money('reverse', 1n), units: 0 } })], {
        settle: 'lost',
      }),
  },
  amount_differs: {
    seed: async (n) => {
      await tell([feedback(n)]);
      await tell([feedback(n, { sequence: 2, settlement: money('reverse', 1n) })], {
        settle: 'lost',
      });
    },
    mend: (n) =>
      tell([feedback(n, { sequence: 3, settlement: money('post', 1n) })], { settle: 'lost' }),
  },
  pending_overdue: {
    seed: (n) =>
      run(
        `update reservations set reserved_at = now() - interval '200 hours' where message_id = $1`,
        [id(n)],
      ),
    mend: (n) => run(`update reservations set reserved_at = now() where message_id = $1`, [id(n)]),
  },
  attempt_unheard: {
    seed: (n) =>
      attemptRows(own.database, [
        recordOf(feedback(n, { settlement: money('none'), terminal: false }), 0),
      ]),
    mend: (n) => run('delete from attempts where message_id = $1', [id(n)]),
  },
};

test.each(Object.entries(LEFT))('%s is left to a person', async (name, { seed, mend }) => {
  const n = fresh();
  await reserve(n);
  await seed(n);
  const before = await counters();
  const found = (await reconcile()).examples.filter((one) => one.messageId === id(n));
  expect(found.map((one) => [one.class, one.bookable])).toEqual([[name, false]]);
  expect((await apply()).applied).toMatchObject({ money: { booked: 0 }, attempts: 0 });
  expect(await counters()).toEqual(before);
  await mend(n);
  expect(ofMessage(await reconcile(), n)).toEqual([]);
});

test('an attempt that nobody reserved, and a posting that no attempt knows, are left to a person', async () => {
  const [unreserved, unattempted] = [fresh(), fresh()];
  await tell([feedback(unreserved)]);
  await reserve(unattempted);
  await tell([feedback(unattempted)], { attempts: 'lost' });
  const report = await reconcile();
  expect(ofMessage(report, unreserved)).toEqual([
    ['attempt_without_reservation', 40_000, 1, false],
  ]);
  expect(ofMessage(report, unattempted)[0]).toEqual(['posted_without_attempt', 40_000, 1, false]);
  await apply();
  await reserve(unreserved);
  await run(`delete from attempts where message_id = $1`, [id(unreserved)]);
});

test('granted that is not what the journal says is left to a person', async () => {
  const change = (sign: string) =>
    run(
      `do $$ begin
        set local session_replication_role = replica;
        update budgets set cash_granted = cash_granted ${sign} 9, cash_available = cash_available ${sign} 9
        where account_id = (select account_id from accounts where tenant_id = '${TENANT}' and business_line = 'promo');
      end $$`,
    );
  await change('+');
  const granted = (await reconcile()).examples.filter((one) => one.class === 'counter_granted');
  expect(granted).toMatchObject([{ cashMicros: 9, bookable: false }]);
  await change('-');
});

describe("a provider's statement", () => {
  const statement = async (content: string | Buffer): Promise<string> => {
    const file = path.join(folder, 'statement.csv');
    await writeFile(file, content);
    return file;
  };
  const compared = async (content: string | Buffer) =>
    reconcile('--provider', 'aliyun-sms', '--provider-statement', await statement(content));

  test('has what was booked, and what it has not is named with its line', async () => {
    const [right, wrong, other, absent] = [fresh(), fresh(), fresh(), fresh()];
    for (const n of [right, wrong, other, absent]) {
      await reserve(n);
      await tell([feedback(n)]);
    }
    const report = await compared(
      [
        '\uFEFFday,providerMessageId,amount,currency',
        `x,biz-${right},0.04,CNY`,
        `x,biz-${wrong},0.05,CNY`,
        `x,biz-${other},0.04,USD`,
        `x,biz-${right},0.04,CNY`,
        'x,biz-<b>none</b>,0.04,CNY',
      ].join('\n'),
    );
    expect(ofMessage(report, wrong)).toEqual([['statement_amount', 10_000, 0, false]]);
    expect(ofMessage(report, other)).toEqual([['statement_currency', 40_000, 0, false]]);
    expect(ofMessage(report, absent)).toEqual([['statement_missing', 40_000, 1, false]]);
    expect(ofMessage(report, right)).toEqual([['statement_duplicate', 40_000, 0, false]]);
    const detail = (name: string) => report.examples.find((one) => one.class === name)?.detail;
    expect(detail('statement_duplicate')).toContain('line 5,');
    expect(detail('statement_unknown')).toContain('line 6, id biz-<b>none</b>');

    const page = path.join(folder, 'report.html');
    const said = await millrace(
      ...['reconcile', '--provider', 'aliyun-sms', '--html', page],
      ...['--provider-statement', path.join(folder, 'statement.csv')],
    );
    expect(said.code).toBe(3);
    expect(said.out).toMatch(/statement_amount +1 +0\.01 +CNY/);
    const html = await readFile(page, 'utf8');
    expect(html).toContain('biz-&lt;b&gt;none&lt;/b&gt;');
    expect(html).not.toMatch(/<b>none|<script|<link|src=|https?:/);
  });

  test.each([
    ['', 'line 1: the file is empty'],
    ['providerMessageId,amount,currency\n', 'line 1: the file is empty'],
    ['id,amount,currency\na,1,CNY', 'line 1: no column providerMessageId'],
    ['providerMessageId,amount,currency,amount\na,1,CNY,1', 'column amount is there twice'],
    ['providerMessageId,amount,currency\na,1,CNY\nb,1', 'line 3: not CSV'],
    ['providerMessageId,amount,currency\na,-1,CNY', 'line 2: amount "-1"'],
    ['providerMessageId,amount,currency\na,1.0000001,CNY', 'line 2: amount'],
    ['providerMessageId,amount,currency\na,1,yuan', 'line 2: currency "yuan"'],
    ['providerMessageId,amount,currency\n,1,CNY', 'line 2: providerMessageId'],
    ['providerMessageId,amount,currency\n"a,1,CNY', 'not CSV'],
    [
      Buffer.concat([
        Buffer.from('providerMessageId,amount,currency,note\na,1,CNY,杭州\nb,1,CNY,'),
        Buffer.from([0xba, 0xbc, 0x0a]),
      ]),
      'line 3: not UTF-8',
    ],
    [Buffer.from('providerMessageId,amount,currency\na,1,CNY', 'utf16le'), 'line 1: '],
  ])('%j is refused: %s', async (content, says) => {
    const said = await millrace(
      ...['reconcile', '--provider', 'aliyun-sms'],
      ...['--provider-statement', await statement(content)],
    );
    expect(said).toMatchObject({ code: 1, out: '' });
    expect(said.err).toContain('statement.csv, ');
    expect(said.err).toContain(says);
  });

  test.each([
    [['--provider', 'aliyun-sms'], 'go together'],
    [['--provider', 'nobody', '--provider-statement', 'x.csv'], 'no channel has a provider nobody'],
    [['--day', '2026-02-30'], 'a day, UTC'],
    [['--day', '2999-01-01'], 'has not begun'],
    [['--apply'], 'needs --reason'],
  ])('%j is a wrong command line', async (options, says) => {
    const said = await millrace('reconcile', ...options);
    expect(said).toMatchObject({ code: 2, out: '' });
    expect(said.err).toContain(says);
  });

  test('that is not there is named', async () => {
    const said = await millrace(
      'reconcile',
      '--provider',
      'aliyun-sms',
      '--provider-statement',
      '/nowhere.csv',
    );
    expect(said).toMatchObject({ code: 1 });
    expect(said.err).toContain('/nowhere.csv');
  });
});
