import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { LeaseAsk, LeaseReturn, Leases } from '../../processors/budget-reserve/leases.js';
import type {
  ReservationRequest,
  Reservations,
} from '../../processors/budget-reserve/reservations.js';
import type { Spend } from '../../processors/budget-reserve/spend.js';
import type { Posting, Settlements } from '../../processors/settle/settlements.js';
import { messageId, tenantId } from '../../schemas/brand.js';
import { postgresAccountLevels } from './account-levels.js';
import { giveBackLease } from './lease-accounts.js';
import { accountsPending } from './ledger-health.js';
import { postgresLeases } from './leases.js';
import { postgresLedger } from './ledger.js';
import { partitionOwnership } from './partition-ownership.js';
import { postgresReservations, waitingForLeases } from './reservations.js';
import { postgresSettlements } from './settlements.js';
import { freshDatabase } from './testing/fresh-database.js';
import type { FreshDatabase } from './testing/fresh-database.js';
import { funded } from './testing/funded.js';

const NOON = Date.UTC(2026, 4, 20, 12);

let database: FreshDatabase;
let reservations: Reservations;
let leases: Omit<Leases, 'usable'>;
let settlements: Settlements;
/** A tenant of each test's own: accounts never meet. */
let tenant: string;
let tests = 0;
const offsets = new Map<string, number>();

beforeAll(async () => {
  database = await freshDatabase();
  const ownership = partitionOwnership(database);
  reservations = postgresReservations(database, ownership);
  leases = postgresLeases(database, ownership);
  settlements = postgresSettlements(database, 'settle');
  await reservations.takeOver([0, 1, 2, 3].map((partition) => ({ topic: 'ingest.p0', partition })));
});
afterAll(() => database.drop());

/** 1,000,000 micros and 10,000 units. */
beforeEach(async () => {
  tests += 1;
  tenant = `t${String(tests)}`;
  await funded(database, {
    transferId: `grant-${tenant}`,
    tenantId: tenant,
    businessLine: 'promo',
    currency: 'CNY',
    cashMicros: 1_000_000n,
    units: 10_000n,
  });
});

const holder = (partition = 0) => ({
  topic: 'ingest.p0',
  partition,
  tenantId: tenantId(tenant),
  businessLine: 'promo',
});

const ask = (over: Partial<LeaseAsk> = {}): LeaseAsk => ({
  ...holder(over.partition),
  lease: null,
  currency: 'CNY',
  grantNo: 1,
  spends: 0,
  needCash: 100n,
  needUnits: 1,
  wantCash: 5_000n,
  wantUnits: 50,
  ...over,
});

const grant = async (over: Partial<LeaseAsk> = {}) => {
  const [answer] = await leases.grant([ask(over)]);
  if (answer?.kind !== 'granted') throw new Error('no lease');
  return answer;
};

const giveBack = (lease: number | null, over: Partial<LeaseReturn> = {}) =>
  leases.giveBack([
    {
      ...holder(over.partition),
      lease,
      returnNo: 1,
      cashMicros: 0n,
      units: 0,
      grantNo: 2,
      ...over,
    },
  ]);

const id = (n: number) => messageId(`00000000-0000-4000-8000-${String(n).padStart(12, '0')}`);

/** 100 micros and one unit. */
const spend = (lease: number, number: number, over: Partial<Spend> = {}): Spend => ({
  lease,
  number,
  tenantId: tenantId(tenant),
  messageId: id(number),
  generation: 0,
  createdAt: NOON,
  expiresAt: NOON + 3_600_000,
  cashMicros: 100n,
  units: 1,
  cashCapMicros: null,
  unitsCap: null,
  offset: number,
  ...over,
});

/** Of what spend() says, at 60 micros. */
const posting = (kind: Posting['kind'], of: Spend, over: Partial<Posting> = {}): Posting => ({
  kind,
  tenantId: of.tenantId,
  messageId: of.messageId,
  generation: of.generation,
  createdAt: of.createdAt,
  cashMicros: 60n,
  units: 1,
  renewable: false,
  spend: { lease: of.lease, number: of.number },
  ...over,
});

const source = { topic: 'ingest.p0', partition: 0 };

const withoutSpend = ({ spend: leased, ...rest }: Posting): Posting => {
  expect(leased).toBeDefined();
  return rest;
};

const apply = async (
  topic: string,
  what: { spends?: Spend[]; postings?: Posting[]; from?: typeof source },
) => {
  const at = { topic: `${topic}.${tenant}`, partition: 0 };
  await settlements.loadOffsets([{ ...at, beginning: 0 }]);
  const start = offsets.get(at.topic) ?? 0;
  offsets.set(at.topic, start + 1);
  const { spends = [], postings = [], from = source } = what;
  const answer = await settlements.apply([
    { ...at, start, next: start + 1, spends: [{ source: from, spends }], postings },
  ]);
  if (answer.kind === 'lost') throw new Error('lost');
  return Object.fromEntries(Object.entries(answer.outcomes).filter(([, count]) => count > 0));
};
const book = (...spends: Spend[]) => apply('reserved', { spends });
const settle = (...postings: Posting[]) => apply('feedback', { postings });

/** cash available, pending, posted / PV the same; they add up, and nothing drifts. */
const balance = async (): Promise<string> => {
  const all = await postgresLedger(database).balances();
  const found = all.find((one) => one.tenantId === tenant);
  if (found === undefined) throw new Error('no account');
  const { cash, pv } = found;
  expect(cash.granted).toBe(cash.available + cash.pending + cash.posted);
  expect(pv.granted).toBe(pv.available + pv.pending + pv.posted);
  const pending = await accountsPending(database);
  expect(pending.find((one) => one.tenantId === tenant)).toMatchObject({
    cashDrift: 0n,
    pvDrift: 0n,
  });
  return [cash, pv]
    .map(({ available, pending: held, posted }) => `${available} ${held} ${posted}`)
    .join(' / ');
};

const request = (n: number, cashMicros: bigint, units = 1): ReservationRequest => ({
  tenantId: tenantId(tenant),
  businessLine: 'promo',
  messageId: id(n),
  generation: 0,
  createdAt: NOON,
  at: { topic: 'ingest.p0', partition: 3, offset: n },
  cashMicros,
  units,
  currency: 'CNY',
  unitsCap: null,
  cashCapMicros: null,
});

const direct = async (...asked: Parameters<typeof request>) => {
  const [decision] = await reservations.reserve([request(...asked)]);
  return decision?.kind;
};

describe('a grant', () => {
  test('moves what is wanted from available to pending', async () => {
    expect(await grant()).toMatchObject({ grantNo: 1, cashMicros: 5_000n, units: 50 });
    expect(await balance()).toBe('995000 5000 0 / 9950 50 0');
  });

  test('asked again by number, gives what it gave: its owner was killed before it was in the state', async () => {
    const first = await grant();
    expect(await grant({ wantCash: 9_000n })).toEqual(first);
    expect(await balance()).toBe('995000 5000 0 / 9950 50 0');
  });

  test('is followed by the next, on the same lease', async () => {
    const { lease } = await grant();
    expect(await grant({ lease, grantNo: 2, wantCash: 700n, wantUnits: 7 })).toMatchObject({
      lease,
      grantNo: 2,
      cashMicros: 700n,
      units: 7,
    });
    expect(await balance()).toBe('994300 5700 0 / 9943 57 0');
  });

  test('is a fiftieth of what is available at most, between all leases of the account', async () => {
    expect(await grant({ wantCash: 900_000n })).toMatchObject({ cashMicros: 20_000n });
    expect(await grant({ partition: 1, wantCash: 900_000n })).toMatchObject({ cashMicros: 9_800n });
  });

  test.each<[string, Partial<LeaseAsk>]>([
    ['more is needed than a lease may hold', { needCash: 20_001n }],
    ['more units are needed', { needUnits: 201 }],
    ['the account is unknown', { businessLine: 'none' }],
    ['the account is kept in another currency', { currency: 'USD' }],
  ])('is none where %s', async (_, over) => {
    expect(await leases.grant([ask(over)])).toEqual([{ kind: 'direct' }]);
    expect(await balance()).toBe('1000000 0 0 / 10000 0 0');
  });

  test('is refused to a former owner of the partition', async () => {
    const before = partitionOwnership(database);
    await before.takeOver([{ topic: 'ingest.p0', partition: 2 }]);
    const after = partitionOwnership(database);
    await after.takeOver([{ topic: 'ingest.p0', partition: 2 }]);
    await expect(
      postgresLeases(database, before).grant([ask({ partition: 2 })]),
    ).rejects.toMatchObject({ code: 'ownership_lost' });
    expect(await balance()).toBe('1000000 0 0 / 10000 0 0');
    await reservations.takeOver([{ topic: 'ingest.p0', partition: 2 }]);
  });

  test('to a partition whose state was lost begins another lease: what the old one had is not given twice', async () => {
    const { lease } = await grant();
    await book(spend(lease, 1));
    const again = await grant();
    expect(again.lease).not.toBe(lease);
    expect(await balance()).toBe('990000 10000 0 / 9900 100 0');
  });

  test('to one whose state was set back within one grant, too', async () => {
    const { lease } = await grant();
    await book(spend(lease, 1), spend(lease, 2));
    expect((await grant({ lease, grantNo: 2, spends: 2 })).lease).toBe(lease);
    expect((await grant({ lease, grantNo: 3, spends: 1 })).lease).not.toBe(lease);
  });

  test('to one whose state was lost sets the old lease aside also where it gives none', async () => {
    const { lease } = await grant();
    await book(spend(lease, 1));
    expect(await leases.grant([ask({ needCash: 900_000n })])).toEqual([{ kind: 'direct' }]);
    expect(await direct(9, 995_001n)).toBe('budget_cash');
    expect(await giveBackLease(database, lease, 'nobody')).toMatchObject({ kind: 'unsettled' });
  });

  test('to one whose state was set back, too', async () => {
    const { lease } = await grant();
    await grant({ lease, grantNo: 2 });
    await grant({ lease, grantNo: 3 });
    expect((await grant({ lease, grantNo: 2 })).lease).not.toBe(lease);
  });
});

describe('a lease that was set aside', () => {
  const settle = `settle-${String(process.pid)}`;
  const setAside = async () => {
    const { lease } = await grant();
    await book(spend(lease, 1));
    await grant();
    return lease;
  };
  const passed = (at: number) =>
    postgresSettlements(database, settle).caughtUp(
      [{ topic: `reserved.${tenant}`, partition: 0 }],
      at,
    );

  test('gives back what it has left, once settle has read all that was spent of it', async () => {
    const lease = await setAside();
    await postgresSettlements(database, settle).loadOffsets([
      { topic: `reserved.${tenant}`, partition: 0, beginning: 0 },
    ]);
    expect(await giveBackLease(database, lease, settle)).toMatchObject({ kind: 'unsettled' });
    await passed(Date.now() - 60_000);
    expect(await giveBackLease(database, lease, settle)).toMatchObject({ kind: 'unsettled' });
    await passed(Date.now() + 60_000);
    expect(await giveBackLease(database, lease, settle)).toEqual({
      kind: 'given_back',
      cashMicros: 4_900n,
      units: 49n,
    });
    expect(await giveBackLease(database, lease, settle)).toMatchObject({ kind: 'nothing' });
    expect(await balance()).toBe('994900 5100 0 / 9949 51 0');
  });

  test('does not keep its account from refusing what it cannot pay for', async () => {
    const first = await setAside();
    const { lease } = await grant();
    expect(lease).not.toBe(first);
    await giveBack(lease, { cashMicros: 5_000n, units: 50 });
    expect(await direct(9, 995_001n)).toBe('budget_cash');
  });

  test('one that is in use gives nothing back by a person, nor one that is not there', async () => {
    const { lease } = await grant();
    expect(await giveBackLease(database, lease, settle)).toMatchObject({ kind: 'in_use' });
    expect(await giveBackLease(database, 2_000_000_000, settle)).toMatchObject({ kind: 'unknown' });
  });
});

describe('a return', () => {
  test('moves it back, once, however often it is said', async () => {
    const { lease } = await grant();
    await giveBack(lease, { cashMicros: 4_000n, units: 40 });
    await giveBack(lease, { cashMicros: 4_000n, units: 40 });
    expect(await balance()).toBe('999000 1000 0 / 9990 10 0');
  });

  test('brings back a grant that never came into the state', async () => {
    const { lease } = await grant();
    await grant({ lease, grantNo: 2 });
    await giveBack(lease, { cashMicros: 5_000n, units: 50, grantNo: 2 });
    expect(await balance()).toBe('1000000 0 0 / 10000 0 0');
  });

  test('brings back the first grant of a partition whose state knows of none', async () => {
    await grant();
    await giveBack(null, { grantNo: 1 });
    expect(await balance()).toBe('1000000 0 0 / 10000 0 0');
  });

  test('makes the grant of its number come too late: asked for after all, it gives nothing', async () => {
    const { lease } = await grant();
    await giveBack(lease, { cashMicros: 5_000n, units: 50 });
    expect(await grant({ lease, grantNo: 2 })).toMatchObject({ cashMicros: 0n, units: 0 });
    await giveBack(null, { partition: 1, grantNo: 1 });
    expect(await grant({ partition: 1 })).toMatchObject({ cashMicros: 0n, units: 0 });
    expect(await balance()).toBe('1000000 0 0 / 10000 0 0');
  });

  test('of more than was left is refused by the table itself', async () => {
    const { lease } = await grant();
    await book(spend(lease, 1));
    await expect(giveBack(lease, { cashMicros: 4_901n, units: 0 })).rejects.toThrow(
      /leases_are_not_overspent/,
    );
  });

  test('of a lease that is not there, or of no account, is nothing', async () => {
    await giveBack(2_000_000_000, { cashMicros: 1n });
    await giveBack(null, { businessLine: 'none' });
    expect(await balance()).toBe('1000000 0 0 / 10000 0 0');
  });
});

describe('a spend', () => {
  test('is its message’s reservation: resolved as any other, its money was pending before', async () => {
    const { lease } = await grant();
    const one = spend(lease, 1);
    expect(await book(one)).toEqual({ spent: 1 });
    expect(await balance()).toBe('995000 5000 0 / 9950 50 0');
    expect(await settle(posting('post', one))).toEqual({ applied: 1 });
    expect(await balance()).toBe('995040 4900 60 / 9950 49 1');
    expect(await settle(posting('reverse', one))).toEqual({ applied: 1 });
    expect(await settle(posting('reverse', one))).toEqual({ already_reversed: 1 });
    expect(await balance()).toBe('995100 4900 0 / 9951 49 0');
  });

  test('that is read after its postings finds them waiting, in order', async () => {
    const { lease } = await grant();
    const one = spend(lease, 1);
    expect(await settle(posting('post', one))).toEqual({ early: 1 });
    expect(await settle(posting('reverse', one), posting('post', one))).toEqual({ early: 2 });
    expect(await balance()).toBe('995000 5000 0 / 9950 50 0');
    expect(await book(one)).toEqual({ spent: 1, applied: 2, already_reversed: 1 });
    expect(await balance()).toBe('995100 4900 0 / 9951 49 0');
  });

  test('in one batch with its posting', async () => {
    const { lease } = await grant();
    const one = spend(lease, 1);
    expect(await apply('both', { spends: [one], postings: [posting('post', one)] })).toEqual({
      spent: 1,
      applied: 1,
    });
    expect(await balance()).toBe('995040 4900 60 / 9950 49 1');
  });

  test('of a message that was refused for now and let in again takes its place', async () => {
    const { lease } = await grant();
    const [first, second] = [spend(lease, 1), spend(lease, 2, { messageId: id(1) })];
    await book(first);
    expect(await settle(posting('void', first, { renewable: true }))).toEqual({ applied: 1 });
    expect(await book(second)).toEqual({ spent: 1 });
    expect(await settle(posting('post', second))).toEqual({ applied: 1 });
    expect(await balance()).toBe('995140 4800 60 / 9951 48 1');
  });

  test('also where the refusal is read last of all', async () => {
    const { lease } = await grant();
    const [first, second] = [spend(lease, 1), spend(lease, 2, { messageId: id(1) })];
    expect(await book(first, second)).toEqual({ spent: 1, waiting: 1 });
    expect(await settle(posting('post', second))).toEqual({ early: 1 });
    expect(await balance()).toBe('995000 5000 0 / 9950 50 0');
    expect(await settle(posting('void', first, { renewable: true }))).toEqual({
      applied: 2,
      spent: 1,
    });
    expect(await balance()).toBe('995140 4800 60 / 9951 48 1');
  });

  test('of a message that was reserved directly and refused for now, too', async () => {
    const { lease } = await grant();
    const second = spend(lease, 1);
    expect(await direct(1, 100n)).toBe('reserved');
    expect(await book(second)).toEqual({ waiting: 1 });
    const refusal = withoutSpend(posting('void', second, { renewable: true }));
    expect(await settle(refusal)).toEqual({ applied: 1, spent: 1 });
    expect(await settle(posting('post', second))).toEqual({ applied: 1 });
    expect(await balance()).toBe('995040 4900 60 / 9950 49 1');
  });

  test('of a message that was paid for already goes back', async () => {
    const { lease } = await grant();
    const [first, second] = [spend(lease, 1), spend(lease, 2, { messageId: id(1) })];
    await book(first);
    await settle(posting('post', first));
    expect(await book(second)).toEqual({ given_back: 1 });
    expect(await settle(posting('post', second))).toEqual({ unmatched: 1 });
    expect(await balance()).toBe('995140 4800 60 / 9951 48 1');
  });

  test('whose money went back takes with it what waited for it', async () => {
    const { lease } = await grant();
    const [first, second] = [spend(lease, 1), spend(lease, 2, { messageId: id(1) })];
    expect(await settle(posting('void', first))).toEqual({ early: 1 });
    expect(await direct(1, 100n)).toBe('reserved');
    expect(await book(first)).toEqual({ waiting: 1 });
    expect(await settle(withoutSpend(posting('post', first)))).toEqual({
      applied: 1,
      given_back: 1,
    });
    expect(second.number).toBe(2);
    const [left] = await database.query<{ count: bigint }>(
      { name: '', text: 'select count(*) from waiting_postings where tenant_id = $1' },
      [tenant],
    );
    expect(left).toEqual({ count: 0n });
  });

  test('that waited for one that was posted after all goes back', async () => {
    const { lease } = await grant();
    const [first, second] = [spend(lease, 1), spend(lease, 2, { messageId: id(1) })];
    expect(await book(first, second)).toEqual({ spent: 1, waiting: 1 });
    expect(await settle(posting('post', first))).toEqual({ applied: 1, given_back: 1 });
    expect(await balance()).toBe('995140 4800 60 / 9951 48 1');
  });

  test('of a record that was reserved directly before its transaction was aborted: one pays, and its postings find it', async () => {
    const { lease } = await grant();
    expect(await direct(1, 100n)).toBe('reserved');
    const one = spend(lease, 1);
    const from = { topic: 'ingest.p0', partition: 3 };
    expect(await apply('reserved', { spends: [one], from })).toEqual({ given_back: 1 });
    expect(await settle(posting('post', one))).toEqual({ applied: 1 });
    expect(await balance()).toBe('995040 4900 60 / 9950 49 1');
  });

  test('of a day that no message asked about before makes that day', async () => {
    const { lease } = await grant();
    expect(await book(spend(lease, 1, { createdAt: NOON + 40 * 86_400_000 }))).toEqual({
      spent: 1,
    });
  });

  test('of a lease that is not in this ledger stops: it is older than its topics', async () => {
    await expect(book(spend(2_000_000_000, 1))).rejects.toThrow(/lease 2000000000 is not in this/);
  });

  test('beyond what was granted is refused by the table itself', async () => {
    const { lease } = await grant();
    await expect(book(spend(lease, 1, { cashMicros: 5_001n }))).rejects.toThrow(
      /leases_are_not_overspent/,
    );
  });

  test('a direct void does not touch it', async () => {
    const { lease } = await grant();
    const one = spend(lease, 1);
    await book(one);
    expect(await settle(withoutSpend(posting('void', one)))).toEqual({ unmatched: 1 });
  });
});

test('a return by a partition that knows of no lease sets aside what it cannot have given up', async () => {
  const { lease } = await grant();
  await book(spend(lease, 1));
  await giveBack(null, { grantNo: 1 });
  expect(await direct(9, 995_001n)).toBe('budget_cash');
  expect(await balance()).toBe('995000 5000 0 / 9950 50 0');
});

describe('an account that has too little while leases are open', () => {
  test('recalls them, and refuses only once none is open', async () => {
    const { lease } = await grant({ wantCash: 20_000n });
    expect(await direct(1, 980_001n)).toBe('recalling');
    const levels = postgresAccountLevels(database);
    const told = await levels.changed();
    expect(told.find(({ record }) => record.tenantId === tenant)?.record).toMatchObject({
      recalling: true,
      share: 1,
    });
    expect(await leases.grant([ask({ partition: 1 })])).toEqual([{ kind: 'direct' }]);
    await giveBack(lease, { cashMicros: 19_900n, units: 49 });
    // 100 micros are spent, and settle has not heard of it.
    expect(await direct(2, 999_901n)).toBe('recalling');
    await book(spend(lease, 1));
    expect(await direct(2, 999_901n)).toBe('budget_cash');
    expect(await direct(2, 999_900n)).toBe('reserved');
  });

  test('refuses after a minute all the same: whoever holds them may not be there', async () => {
    await grant({ wantCash: 20_000n });
    expect(await direct(1, 980_001n)).toBe('recalling');
    await database.query(
      {
        name: '',
        text: `update accounts set recalling_since = now() - interval '61 seconds' where tenant_id = $1`,
      },
      [tenant],
    );
    expect(await direct(1, 980_001n)).toBe('budget_cash');
    // Not asked about for longer, it is another recall.
    await database.query(
      {
        name: '',
        text: `update accounts set recalling_at = now() - interval '61 seconds' where tenant_id = $1`,
      },
      [tenant],
    );
    expect(await direct(1, 980_001n)).toBe('recalling');
  });

  test('is asked again for a while, beside messages that need not wait', async () => {
    const { lease } = await grant({ wantCash: 20_000n });
    const asked: number[] = [];
    const patient = waitingForLeases({
      reserve: async (batch: Parameters<Reservations['reserve']>[0]) => {
        asked.push(batch.length);
        if (asked.length === 3) await giveBack(lease, { cashMicros: 20_000n, units: 50 });
        return reservations.reserve(batch);
      },
    });
    const decisions = await patient.reserve([request(1, 1n), request(2, 980_001n)]);
    expect(decisions.map(({ kind }) => kind)).toEqual(['reserved', 'reserved']);
    expect(asked).toEqual([2, 1, 1]);
  });

  test('asks for no return of what would not help', async () => {
    await grant({ wantUnits: 0, needUnits: 0 });
    expect(await direct(1, 1n, 10_001)).toBe('budget_pv');
  });
});

test('two that book and post the same spends at the same time lose neither', async () => {
  const { lease } = await grant();
  const numbers = Array.from({ length: 40 }, (_, n) => n + 1);
  for (const number of numbers) {
    const one = spend(lease, number);
    await settlements.loadOffsets(
      ['reserved', 'feedback'].map((topic) => ({
        topic: `${topic}.${tenant}`,
        partition: number,
        beginning: 0,
      })),
    );
    const slice = { partition: number, start: 0, next: 1 };
    await Promise.all([
      settlements.apply([
        {
          ...slice,
          topic: `reserved.${tenant}`,
          spends: [{ source, spends: [one] }],
          postings: [],
        },
      ]),
      settlements.apply([
        { ...slice, topic: `feedback.${tenant}`, spends: [], postings: [posting('post', one)] },
      ]),
    ]);
  }
  expect(await balance()).toBe(
    `${String(995_000 + 40 * 40)} ${String(5_000 - 40 * 100)} ${String(40 * 60)} / 9950 10 40`,
  );
});
