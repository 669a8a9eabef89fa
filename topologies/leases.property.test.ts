import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { accountsPending } from '../sinks/postgres/ledger-health.js';
import { postgresLedger } from '../sinks/postgres/ledger.js';
import { type FreshDatabase, freshDatabase } from '../sinks/postgres/testing/fresh-database.js';
import { funded } from '../sinks/postgres/testing/funded.js';
import { postgresTransfers } from '../sinks/postgres/transfers.js';
import { type End, LeaseWorld, type Reserved } from './testing/lease-world.js';

const PARTITIONS = 3;
/** What a message of LeaseWorld costs. */
const PRICE = 2_000n;

let database: FreshDatabase;
let worlds = 0;

beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());

const open = async (lines: Readonly<Record<string, { cash: bigint; units: bigint }>>) => {
  worlds += 1;
  const world = new LeaseWorld(database, `w${String(worlds)}-`, {
    partitions: PARTITIONS,
    lines: Object.keys(lines),
  });
  for (const [businessLine, { cash, units }] of Object.entries(lines))
    await funded(database, {
      transferId: `grant-${world.tenant}-${businessLine}`,
      tenantId: world.tenant,
      businessLine,
      currency: 'CNY',
      cashMicros: cash,
      units,
    });
  await world.begin();
  return world;
};

const balances = async (world: LeaseWorld) => {
  const pending = await accountsPending(database);
  const drifts = pending.filter(({ tenantId }) => tenantId === world.tenant);
  for (const drift of drifts) expect(drift).toMatchObject({ cashDrift: 0n, pvDrift: 0n });
  const all = await postgresLedger(database).balances();
  return new Map(
    all
      .filter(({ tenantId }) => tenantId === world.tenant)
      .map(({ businessLine, cash, pv }) => {
        for (const { granted, available, pending: held, posted } of [cash, pv]) {
          expect(granted).toBe(available + held + posted);
          for (const counter of [available, held, posted])
            expect(counter).toBeGreaterThanOrEqual(0n);
        }
        return [businessLine, { cash, pv }];
      }),
  );
};

/** Everything that is on its way arrives: what leases hold goes back, what was reserved is posted, what waits is asked. */
const drain = async (world: LeaseWorld, resolve: (of: Reserved) => void): Promise<void> => {
  let resolved = 0;
  for (let round = 0; round < 60; round += 1) {
    world.now += 61_000;
    await world.look();
    for (let partition = 0; partition < PARTITIONS; partition += 1) {
      await world.work(partition, 50, 'commit');
      await world.work(partition, 0, 'commit');
    }
    await world.askAgain();
    for (const one of world.reserved.slice(resolved)) resolve(one);
    resolved = world.reserved.length;
    await world.settle(1_000, 1_000);
    const idle = Array.from({ length: PARTITIONS }, (_, partition) => world.waiting(partition));
    if (
      idle.every((waiting) => waiting === 0) &&
      world.diverted.length === 0 &&
      world.unsettled === 0 &&
      resolved === world.reserved.length &&
      round > 2
    )
      return;
  }
  throw new Error('it does not come to rest');
};

const emptyTables = async (world: LeaseWorld): Promise<void> => {
  const [row] = await database.query<{ spends: bigint; unspent: bigint }>(
    {
      name: '',
      text: `select (select count(*) from waiting_spends where tenant_id = $1) as spends,
        (select coalesce(sum(cash_granted - cash_spent - cash_returned + units_granted - units_spent - units_returned), 0)::bigint
         from leases join accounts using (account_id) where tenant_id = $1) as unspent`,
    },
    [world.tenant],
  );
  expect(row).toEqual({ spends: 0n, unspent: 0n });
};

describe('a holder that is killed at any step', () => {
  const ends: End[] = ['abort', 'crash', 'untold', 'commit'];
  const cases = ends.flatMap((first) => ends.map((second) => [first, second] as const));

  test.each(cases)('of a grant: %s, then %s', async (first, second) => {
    const world = await open({ promo: { cash: 10_000_000n, units: 10_000n } });
    for (let number = 0; number < 3; number += 1) world.offer(0, 'promo', number);
    await world.work(0, 3, first);
    await world.work(0, 3, second);
    await world.work(0, 3, 'commit');
    expect(world.reserved).toHaveLength(3);
    expect(world.reserved.map(({ spend }) => spend?.number)).toEqual([1, 2, 3]);
    // One grant, and nothing beside it.
    const { cash } = (await balances(world)).get('promo') ?? {};
    expect(cash?.pending).toBe(12n * PRICE);
    expect(world.leaseOf(0, 'promo')).toMatchObject({ cashMicros: 9n * PRICE, grantNo: 1 });
  });

  test.each(cases)('of a return: %s, then %s', async (first, second) => {
    const world = await open({ promo: { cash: 10_000_000n, units: 10_000n } });
    world.offer(0, 'promo', 1);
    await world.work(0, 1, 'commit');
    world.now += 61_000;
    await world.work(0, 0, first);
    await world.work(0, 0, second);
    for (let round = 0; round < 3; round += 1) {
      world.now += 6_000;
      await world.work(0, 0, 'commit');
    }
    expect(world.leaseOf(0, 'promo')).toMatchObject({ cashMicros: 0n, units: 0, returning: null });
    const { cash, pv } = (await balances(world)).get('promo') ?? {};
    expect([cash?.pending, pv?.pending]).toEqual([PRICE, 1n]);
  });

  test('between a grant and its spends, for good: the account recalls what nobody knows of', async () => {
    const world = await open({ promo: { cash: 200_000n, units: 10_000n } });
    world.offer(0, 'promo', 1);
    await world.work(0, 1, 'crash');
    // Its message never comes again; another partition needs the rest.
    for (let number = 2; number < 110; number += 1) world.offer(1, 'promo', number);
    await world.work(1, 200, 'commit');
    expect(world.diverted.length).toBeGreaterThan(0);
    await drain(world, (one) => {
      world.resolve(one, 'post');
    });
    await emptyTables(world);
    // 100 were affordable; the first record, let in after all, is one of them or is refused.
    expect(world.reserved).toHaveLength(100);
  });
});

test('a grant that nobody came to know of goes back when its account is closed', async () => {
  const world = await open({ promo: { cash: 10_000_000n, units: 10_000n } });
  world.offer(0, 'promo', 1);
  await world.work(0, 1, 'crash');
  await postgresTransfers(database).close({
    transferId: `close-${world.tenant}`,
    tenantId: world.tenant,
    businessLine: 'promo',
  });
  await world.look();
  world.now = Date.now();
  await world.work(0, 1, 'commit');
  expect(world.refused.map(({ reason }) => reason)).toEqual(['account_closed']);
  expect((await balances(world)).get('promo')?.cash.pending).toBe(0n);
});

test('an account is spent to the last affordable message, not one beyond, by all partitions together', async () => {
  const affordable = 1_000;
  const world = await open({
    promo: { cash: BigInt(affordable) * PRICE + PRICE - 1n, units: 10_000n },
  });
  for (let number = 0; number < affordable + 200; number += 1)
    world.offer(number % PARTITIONS, 'promo', number);
  for (let round = 0; round < 80; round += 1) {
    for (let partition = 0; partition < PARTITIONS; partition += 1)
      await world.work(partition, 5, 'commit');
    await world.settle(1_000, 0);
  }
  await drain(world, () => undefined);
  await emptyTables(world);
  expect(world.reserved).toHaveLength(affordable);
  expect(world.refused.map(({ reason }) => reason)).toEqual(Array(200).fill('budget_cash'));
  const leased = world.reserved.filter(({ spend }) => spend !== null);
  expect(leased.length).toBeGreaterThan(affordable / 5);
  const { cash } = (await balances(world)).get('promo') ?? {};
  expect(cash).toMatchObject({ available: PRICE - 1n, pending: BigInt(affordable) * PRICE });
});

test('while Postgres is away what leases hold is spent, and no more', async () => {
  const world = await open({ promo: { cash: 10_000_000n, units: 10_000n } });
  world.offer(0, 'promo', 0);
  await world.work(0, 1, 'commit');
  const before = world.statements;
  for (let number = 1; number < 4; number += 1) world.offer(0, 'promo', number);
  await world.work(0, 3, 'commit', false);
  expect(world.statements).toBe(before);
  expect(world.reserved).toHaveLength(4);
});

test('a return that Postgres does not answer is said again, and meanwhile no other lease is given up for want of messages', async () => {
  const plenty = { cash: 10_000_000n, units: 10_000n };
  const world = await open({ promo: plenty, small: plenty });
  world.offer(0, 'promo', 0);
  await world.work(0, 1, 'commit');
  world.postgresIsAway = true;
  world.now += 11_000;
  world.offer(0, 'small', 1);
  await world.work(0, 1, 'commit');
  expect(world.leaseOf(0, 'promo')).toMatchObject({ cashMicros: 0n, returning: {} });
  world.now += 11_000;
  await world.work(0, 0, 'commit');
  expect(world.leaseOf(0, 'small')).toMatchObject({ cashMicros: 3n * PRICE, returning: null });
  world.postgresIsAway = false;
  for (let round = 0; round < 4; round += 1) {
    world.now += 6_000;
    await world.work(0, 0, 'commit');
  }
  for (const line of ['promo', 'small'])
    expect(world.leaseOf(0, line)).toMatchObject({ cashMicros: 0n, returning: null });
  expect((await balances(world)).get('promo')?.cash.pending).toBe(PRICE);
});

interface Step {
  readonly partition: number;
  readonly line: 'promo' | 'small';
  readonly offers: number;
  readonly takes: number;
  readonly end: End;
  readonly wait: number;
  readonly spends: number;
  readonly postings: number;
  readonly resolves: readonly ('post' | 'void' | 'refuse' | 'post and reverse')[];
  readonly look: boolean;
  readonly ask: boolean;
  readonly grant: boolean;
}

const steps = fc.array(
  fc.record<Step>({
    partition: fc.nat(PARTITIONS - 1),
    line: fc.constantFrom('promo', 'small'),
    offers: fc.nat(12),
    takes: fc.nat(10),
    end: fc.constantFrom<End>('commit', 'commit', 'commit', 'abort', 'crash', 'untold'),
    wait: fc.constantFrom(10, 1_000, 6_000, 61_000),
    spends: fc.nat(6),
    postings: fc.nat(6),
    resolves: fc.array(
      fc.constantFrom<Step['resolves'][number]>('post', 'void', 'refuse', 'post and reverse'),
      { maxLength: 5 },
    ),
    look: fc.boolean(),
    ask: fc.boolean(),
    grant: fc.nat(9).map((n) => n === 0),
  }),
  { minLength: 5, maxLength: 30 },
);

test('whatever is killed, lost, read late or sent again: conservation is exact, and each message pays at most once', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (run) => {
      const world = await open({
        promo: { cash: 2_000_000n, units: 1_000n },
        small: { cash: 60_000n, units: 1_000n },
      });
      let offered = 0;
      let resolved = 0;
      let grants = 0;
      const posted = new Map<string, bigint>();
      const told = (one: Reserved, how: Step['resolves'][number], partition: number): void => {
        const line = one.message.request.businessLine;
        switch (how) {
          case 'post':
            world.resolve(one, 'post');
            posted.set(line, (posted.get(line) ?? 0n) + one.cashMicros - 1n);
            break;
          case 'void':
            world.resolve(one, 'void');
            break;
          case 'refuse':
            world.resolve(one, 'void', { renewable: true });
            world.offerAgain(partition, one.message);
            break;
          case 'post and reverse':
            world.resolve(one, 'post');
            world.resolve(one, 'reverse');
            // What was posted beyond what is paid back: nothing.
            break;
        }
      };
      for (const step of run) {
        const { partition, line } = step;
        for (let n = 0; n < step.offers; n += 1) world.offer(partition, line, (offered += 1));
        await world.work(partition, step.takes, step.end);
        for (const how of step.resolves) {
          const one = world.reserved[resolved];
          if (one === undefined) break;
          resolved += 1;
          told(one, how, partition);
        }
        await world.settle(step.spends, step.postings);
        if (step.look) await world.look();
        if (step.ask) await world.askAgain();
        if (step.grant) {
          grants += 1;
          await postgresTransfers(database).grant({
            transferId: `more-${world.tenant}-${String(grants)}`,
            tenantId: world.tenant,
            businessLine: line,
            currency: 'CNY',
            cashMicros: 5_000n,
            units: 0n,
          });
        }
        world.now += step.wait;
        await balances(world);
      }
      let count = resolved;
      await drain(world, (one) => {
        // drain() gives all from the first.
        if (count > 0) count -= 1;
        else told(one, 'post', 0);
      });
      await emptyTables(world);
      for (const [line, { cash }] of await balances(world)) {
        expect(cash.pending).toBe(0n);
        expect(cash.posted).toBe(posted.get(line) ?? 0n);
      }
      // Each offer was decided once.
      const refusals = run.length === 0 ? 0 : world.refused.length;
      expect(world.reserved.length + refusals).toBeGreaterThanOrEqual(offered);
    }),
    {
      numRuns: Number(process.env['LEASE_RUNS'] ?? 12),
      interruptAfterTimeLimit: Number(process.env['LEASE_MS'] ?? 120_000),
    },
  );
}, 600_000);
