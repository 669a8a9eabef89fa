import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Posting } from '../../processors/settle/settlements.js';
import type {
  ReservationDecision,
  ReservationRequest,
} from '../../processors/budget-reserve/reservations.js';
import { messageId, tenantId } from '../../schemas/brand.js';
import type { QuotaConfig, TenantConfig } from '../../schemas/config.js';
import { postgresLedger } from './ledger.js';
import { postgresQuotas } from './quotas.js';
import { postgresSettlements } from './settlements.js';
import { freshDatabase } from './testing/fresh-database.js';
import type { FreshDatabase } from './testing/fresh-database.js';
import { funded } from './testing/funded.js';
import { ownedReservations } from './testing/owned-reservations.js';
import { postgresTransfers } from './transfers.js';
import type { Booking } from './transfers.js';

interface Account {
  /** Available. */
  cash: number;
  units: number;
  granted: number;
  grantedUnits: number;
  open: boolean;
}

/** Of a line, or of all together (''): whole micros and units where nothing is reserved beyond. */
interface Limit {
  readonly line: string;
  readonly channel: string;
  readonly cash: number | null;
  readonly units: number | null;
}

/** What is held and used of a quota. */
interface Use {
  held: number;
  used: number;
  unitsHeld: number;
  unitsUsed: number;
}

/** A channel, with what the message costs there. */
type Cost = readonly [channel: string, cash: number];

/** The ledger in a few lines, one message at a time: what the set-based functions must come to. */
class Model {
  readonly accounts = new Map<string, Account>();
  /** By id: what was booked. */
  readonly journal = new Map<number, Change>();
  readonly rows = new Map<
    string,
    {
      line: string;
      at: number;
      cash: number;
      units: number;
      posted: number;
      postedUnits: number;
      state: 'pending' | 'posted' | 'voided' | 'reversed';
      renewable: boolean;
      /** What had quota; null: none was asked. */
      channels: readonly string[] | null;
      holds: readonly { readonly use: Use; readonly channel: string; readonly cash: number }[];
      channel: string;
    }
  >();
  limits: readonly Limit[] = [];
  /** By line and channel. */
  readonly uses = new Map<string, Use>();

  use(line: string, channel: string): Use {
    const name = `${line}/${channel}`;
    const use = this.uses.get(name) ?? { held: 0, used: 0, unitsHeld: 0, unitsUsed: 0 };
    this.uses.set(name, use);
    return use;
  }

  private limitsOf(line: string, channel: string): readonly Limit[] {
    return this.limits.filter(
      (one) => one.channel === channel && (one.line === '' || one.line === line),
    );
  }

  private hasRoom(line: string, [channel, cash]: Cost, units: number): boolean {
    return this.limitsOf(line, channel).every((limit) => {
      const { held, used, unitsHeld, unitsUsed } = this.use(limit.line, channel);
      return (
        held + used + cash <= (limit.cash ?? Infinity) &&
        unitsHeld + unitsUsed + units <= (limit.units ?? Infinity)
      );
    });
  }

  reserve({ line, n, at, units, costs }: Reserve): string {
    const row = this.rows.get(String(n));
    if (row !== undefined && !(row.state === 'voided' && row.renewable)) {
      if (row.at === at) return ['reserved', ...(row.channels ?? [])].join(' ');
      return row.line === line ? 'duplicate' : 'idempotency_conflict';
    }
    const account = this.accounts.get(line);
    if (account === undefined) return 'unknown_account';
    if (!account.open) return 'account_closed';
    const left = costs.filter((cost) => this.hasRoom(line, cost, units));
    if (left.length === 0) return 'quota';
    const cash = Math.max(...left.map(([, cost]) => cost));
    if (account.cash < cash) return 'budget_cash';
    if (account.units < units) return 'budget_pv';
    account.cash -= cash;
    account.units -= units;
    const asked = costs.some(([channel]) => this.limitsOf(line, channel).length > 0);
    const holds = left.flatMap(([channel, cost]) =>
      this.limitsOf(line, channel).map((limit) => ({
        use: this.use(limit.line, channel),
        channel,
        cash: cost,
      })),
    );
    for (const { use, cash: held } of holds) {
      use.held += held;
      use.unitsHeld += units;
    }
    const channels = left.map(([channel]) => channel);
    const fresh = { posted: 0, postedUnits: 0, state: 'pending', renewable: false } as const;
    const held = { channels: asked ? channels : null, holds, channel: '' };
    this.rows.set(String(n), { line, at, cash, units, ...fresh, ...held });
    return ['reserved', ...(channels.length < costs.length ? channels : [])].join(' ');
  }

  settle({ kind, n, cash, units, renewable, channel }: Settle): string {
    const row = this.rows.get(String(n));
    if (row === undefined) return 'unmatched';
    const account = this.accounts.get(row.line);
    if (account === undefined) throw new Error('an account of a row');
    if (kind === 'reverse') {
      if (row.state === 'pending') return 'not_posted';
      if (row.state !== 'posted') return `already_${row.state}`;
      const [back, backUnits] = [Math.min(cash, row.posted), Math.min(units, row.postedUnits)];
      Object.assign(row, {
        state: 'reversed',
        posted: row.posted - back,
        postedUnits: row.postedUnits - backUnits,
      });
      account.cash += back;
      account.units += backUnits;
      for (const hold of row.holds)
        if (hold.channel === row.channel) {
          hold.use.used -= back;
          hold.use.unitsUsed -= backUnits;
        }
      return 'applied';
    }
    if (row.state !== 'pending') return `already_${row.state}`;
    if (kind === 'void') Object.assign(row, { state: 'voided', renewable });
    else
      Object.assign(row, {
        state: 'posted',
        posted: Math.min(cash, row.cash),
        postedUnits: Math.min(units, row.units),
        channel,
      });
    for (const hold of row.holds) {
      hold.use.held -= hold.cash;
      hold.use.unitsHeld -= row.units;
      if (hold.channel === row.channel) {
        hold.use.used += row.posted;
        hold.use.unitsUsed += row.postedUnits;
      }
    }
    account.cash += row.cash - row.posted;
    account.units += row.units - row.postedUnits;
    return 'applied';
  }

  change(asked: Change): string {
    const known = this.journal.get(asked.id);
    if (known !== undefined) return sameContent(known, asked) ? 'repeated' : 'idempotency_conflict';
    const refusal = this.refusal(asked);
    if (refusal !== null) return refusal;
    this.journal.set(asked.id, asked);
    const account = this.accounts.get(asked.line);
    if (account !== undefined) add(account, asked.cash, asked.units);
    if (account !== undefined && asked.op === 'close') account.open = false;
    const giver = this.accounts.get(asked.from);
    if (giver !== undefined) add(giver, -asked.cash, -asked.units);
    return 'booked';
  }

  private refusal({ op, line, from, cash, units }: Change): string | null {
    const [account, giver] = [this.accounts.get(line), this.accounts.get(from)];
    if (cash < 0 || units < 0) return 'negative_amount';
    if (op !== 'close' && cash === 0 && units === 0) return 'zero_amount';
    if (account === undefined) return 'unknown_account';
    if (op === 'transfer' && giver === undefined) return 'unknown_account';
    if (!account.open) return 'account_closed';
    if (line === from) return 'same_account';
    if (giver !== undefined && giver.cash < cash) return 'budget_cash';
    return giver !== undefined && giver.units < units ? 'budget_pv' : null;
  }

  /** granted, available and posted of an account; pending is what is left. */
  balance(line: string) {
    const mine = [...this.rows.values()].filter((row) => row.line === line);
    const sum = (field: 'posted' | 'postedUnits') =>
      BigInt(mine.reduce((total, row) => total + row[field], 0));
    const account = this.accounts.get(line);
    return {
      open: account?.open,
      cash: {
        granted: BigInt(account?.granted ?? 0),
        available: BigInt(account?.cash ?? 0),
        posted: sum('posted'),
      },
      pv: {
        granted: BigInt(account?.grantedUnits ?? 0),
        available: BigInt(account?.units ?? 0),
        posted: sum('postedUnits'),
      },
    };
  }
}

interface Reserve {
  readonly op: 'reserve';
  readonly line: string;
  readonly n: number;
  readonly at: number;
  readonly costs: readonly Cost[];
  readonly units: number;
}
interface Settle {
  readonly op: 'settle';
  readonly kind: Posting['kind'];
  readonly n: number;
  readonly cash: number;
  readonly units: number;
  readonly renewable: boolean;
  readonly channel: string;
}
/** Other limits, from now on. */
interface Limits {
  readonly op: 'limits';
  readonly limits: readonly Limit[];
}
/** A grant and a close have no giver (''), a close moves nothing. */
interface Change {
  readonly op: 'grant' | 'transfer' | 'close';
  readonly id: number;
  readonly line: string;
  readonly from: string;
  readonly cash: number;
  readonly units: number;
}
type Op = Reserve | Settle | Change | Limits;

const sameContent = (a: Change, b: Change): boolean =>
  a.op === b.op &&
  a.line === b.line &&
  a.from === b.from &&
  a.cash === b.cash &&
  a.units === b.units;

const add = (account: Account, cash: number, units: number): void => {
  account.cash += cash;
  account.granted += cash;
  account.units += units;
  account.grantedUnits += units;
};

const LINES = ['a', 'b', 'c'];
const CHANNELS = ['sms', 'push', 'mail'];
const NOON = Date.UTC(2026, 4, 20, 12);

// Few messages and coordinates: most of them meet again.
const message = fc.integer({ min: 1, max: 30 });
const cash = fc.integer({ min: 0, max: 60 });
const units = fc.integer({ min: 0, max: 3 });
const reserveBatch = fc.array(
  fc.record<Reserve>({
    op: fc.constant('reserve'),
    line: fc.constantFrom(...LINES, 'nobody'),
    n: message,
    at: fc.integer({ min: 0, max: 3 }),
    costs: fc
      .subarray(CHANNELS, { minLength: 1 })
      .chain((channels) =>
        fc
          .tuple(...channels.map(() => cash))
          .map((all) => channels.map((channel, index): Cost => [channel, all[index] ?? 0])),
      ),
    units,
  }),
  { minLength: 1, maxLength: 40 },
);
const settleBatch = fc.array(
  fc.record<Settle>({
    op: fc.constant('settle'),
    kind: fc.constantFrom('post', 'void', 'reverse'),
    n: message,
    cash,
    units,
    // A row is renewable by what the void said; other kinds never make it so.
    renewable: fc.boolean(),
    channel: fc.constantFrom(...CHANNELS),
  }),
  { minLength: 1, maxLength: 40 },
);
// Few ids: most come again, half of those with the same content. Closings are rare, or all that follows is refused.
const change = fc
  .record({
    op: fc.oneof(
      { weight: 6, arbitrary: fc.constant('grant' as const) },
      { weight: 12, arbitrary: fc.constant('transfer' as const) },
      { weight: 1, arbitrary: fc.constant('close' as const) },
    ),
    id: fc.integer({ min: 1, max: 12 }),
    line: fc.constantFrom(...LINES, 'nobody'),
    from: fc.constantFrom(...LINES, 'nobody'),
    cash: fc.constantFrom(-1, 0, 40, 150),
    units: fc.constantFrom(0, 3),
  })
  .map((one): Change => {
    if (one.op === 'close') return { ...one, from: '', cash: 0, units: 0 };
    return one.op === 'grant' ? { ...one, from: '' } : one;
  });
// Never of the third channel, so that some messages pass without quota.
const limits = fc
  .uniqueArray(
    fc.record<Limit>({
      line: fc.constantFrom('', ...LINES),
      channel: fc.constantFrom('sms', 'push'),
      cash: fc.option(fc.integer({ min: 0, max: 300 })),
      units: fc.integer({ min: 0, max: 12 }),
    }),
    { maxLength: 6, selector: ({ line, channel }) => `${line}/${channel}` },
  )
  .map((all): [Limits] => [{ op: 'limits', limits: all }]);
const changes = fc.array(change, { minLength: 1, maxLength: 10 });

let database: FreshDatabase;
beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());

let runs = 0;

/** A tenant of a run's own, with the model beside it. */
const installed = async () => {
  runs += 1;
  const tenant = tenantId(`t${runs}`);
  const topic = `feedback.${runs}`;
  const ledger = postgresLedger(database);
  const settlements = postgresSettlements(database, 'settle');
  const reservations = ownedReservations(database);
  const transfers = postgresTransfers(database);
  const quotas = postgresQuotas(database);
  const model = new Model();
  for (const line of LINES) {
    model.accounts.set(line, {
      cash: 300,
      units: 12,
      granted: 300,
      grantedUnits: 12,
      open: true,
    });
    const transferId = `${tenant}/${line}`;
    const amounts = { currency: 'CNY', cashMicros: 300n, units: 12n };
    await funded(database, { transferId, tenantId: tenant, businessLine: line, ...amounts });
  }
  await settlements.loadOffsets([{ topic, partition: 0, beginning: 0 }]);
  const id = (n: number) => messageId(`00000000-0000-4000-8000-${String(n).padStart(12, '0')}`);
  let start = 0;
  const account = (line: string) => ({ tenantId: tenant, businessLine: line });

  return {
    tenant,
    model,
    reserve: (asked: readonly Reserve[]) =>
      reservations.reserve(
        asked.map((one): ReservationRequest => ({
          ...account(one.line),
          tenantId: tenant,
          messageId: id(one.n),
          generation: 0,
          createdAt: NOON,
          at: { topic: 'ingest.p0', partition: 0, offset: one.at },
          cashMicros: BigInt(Math.max(...one.costs.map(([, cost]) => cost))),
          units: one.units,
          currency: 'CNY',
          unitsCap: null,
          cashCapMicros: null,
          candidates: one.costs.map(([channel, cost]) => ({ channel, cashMicros: BigInt(cost) })),
        })),
      ),
    settle: (asked: readonly Settle[]) => {
      const postings = asked.map((one): Posting => ({
        kind: one.kind,
        tenantId: tenant,
        messageId: id(one.n),
        generation: 0,
        createdAt: NOON,
        cashMicros: BigInt(one.cash),
        units: one.units,
        renewable: one.kind === 'void' && one.renewable,
        channel: one.channel,
      }));
      const slice = { topic, partition: 0, start, next: start + postings.length, postings };
      start = slice.next;
      return settlements.apply([slice]);
    },
    change: ({ op, id: n, line, from, cash: micros, units: pv }: Change) => {
      const base = { transferId: `${tenant}/${n}` };
      const amounts = { currency: 'CNY', cashMicros: BigInt(micros), units: BigInt(pv) };
      if (op === 'grant') return transfers.grant({ ...base, ...account(line), ...amounts });
      if (op === 'close') return transfers.close({ ...base, ...account(line) });
      return transfers.transfer({ ...base, ...amounts, from: account(from), to: account(line) });
    },
    limit: ({ limits: all }: Limits) => quotas.set([configured(tenant, all)]),
    uses: async () =>
      Object.fromEntries(
        (await quotas.at(NOON))
          .filter((one) => one.tenantId === tenant)
          .map(({ businessLine, channel, cash: micros, pv }) => [
            `${businessLine ?? ''}/${channel}`,
            [micros?.held, micros?.used, pv?.held, pv?.used],
          ]),
      ),
    balances: async () => (await ledger.balances()).filter((one) => one.tenantId === tenant),
  };
};

const configured = (tenant: string, all: readonly Limit[]): TenantConfig => {
  const of = (line: string) =>
    all.flatMap((one): QuotaConfig[] =>
      one.line !== line
        ? []
        : [
            {
              channel: one.channel,
              period: 'day',
              ...(one.cash !== null && { cash: `0.${String(one.cash).padStart(6, '0')}` }),
              ...(one.units !== null && { units: one.units }),
              elasticFactor: 1,
            },
          ],
    );
  const lines = LINES.map((name) => ({
    name,
    currency: 'CNY',
    initialCash: '0',
    initialUnits: 0,
    quotas: of(name),
  }));
  const [first, ...rest] = lines;
  if (first === undefined) throw new Error('a line');
  return {
    id: tenant,
    ownIngest: false,
    lanes: ['p0'],
    quotas: of(''),
    businessLines: [first, ...rest],
  };
};

const said = (decision: ReservationDecision): string =>
  decision.kind === 'reserved'
    ? ['reserved', ...(decision.channels ?? [])].join(' ')
    : decision.kind;

/** Counters of quotas that are not what the reservations add up to. */
const DRIFT = {
  name: 'drift-of-quotas',
  text: `select quota_id, starts from quota_counters c
    full join (
      select h.quota_id, quota_starts(q.period, r.day) as starts,
        sum(case when state = 'pending' then h.cash else 0 end) as cash_held,
        sum(case when state = 'pending' then units else 0 end) as units_held,
        sum(case when r.channel = q.channel then posted_cash - reversed_cash else 0 end) as cash_used,
        sum(case when r.channel = q.channel then posted_units - reversed_units else 0 end) as units_used
      from reservations r
      cross join unnest(r.quotas, r.quota_cash) as h (quota_id, cash)
      join quotas q on q.quota_id = h.quota_id
      group by 1, 2
    ) r using (quota_id, starts)
    where (coalesce(c.cash_held, 0), coalesce(c.units_held, 0), coalesce(c.cash_used, 0), coalesce(c.units_used, 0))
      is distinct from
      (coalesce(r.cash_held, 0), coalesce(r.units_held, 0), coalesce(r.cash_used, 0), coalesce(r.units_used, 0))`,
};

const run = async (batches: readonly (readonly Op[])[]): Promise<void> => {
  const { model, reserve, settle, change: book, limit, uses, balances } = await installed();
  for (const batch of batches) {
    const reserves = batch.filter((one) => one.op === 'reserve');
    const settles = batch.filter((one) => one.op === 'settle');
    if (reserves.length > 0) {
      const expected = inRounds(reserves).map((one) => ({ one, kind: model.reserve(one) }));
      const decisions = await reserve(reserves);
      expect(decisions.map(said)).toEqual(
        reserves.map((one) => expected.find((other) => other.one === one)?.kind),
      );
    }
    if (settles.length > 0) {
      const counts: Record<string, number> = {};
      for (const one of settles) {
        const outcome = model.settle(one);
        counts[outcome] = (counts[outcome] ?? 0) + 1;
      }
      expect(await settle(settles)).toMatchObject({ kind: 'applied', outcomes: counts });
    }
    for (const one of batch)
      if (one.op === 'limits') {
        await limit(one);
        model.limits = one.limits;
      } else if (one.op !== 'reserve' && one.op !== 'settle')
        expect(await book(one)).toMatchObject({ kind: model.change(one) });
  }

  const found = await balances();
  for (const line of LINES)
    expect(found.find((one) => one.businessLine === line)).toMatchObject(model.balance(line));
  expect(await uses()).toEqual(
    Object.fromEntries(
      model.limits.map(({ line, channel, ...limited }) => {
        const { held, used, unitsHeld, unitsUsed } = model.use(line, channel);
        const [cashLimit, unitsLimit] = [limited.cash, limited.units];
        return [
          `${line}/${channel}`,
          [
            ...(cashLimit === null ? [undefined, undefined] : [BigInt(held), BigInt(used)]),
            ...(unitsLimit === null
              ? [undefined, undefined]
              : [BigInt(unitsHeld), BigInt(unitsUsed)]),
          ],
        ];
      }),
    ),
  );
  expect(await database.query(DRIFT)).toEqual([]);
};

/** A message's second request in a batch is decided after all first ones: the order among those stays. */
const inRounds = (batch: readonly Reserve[]): readonly Reserve[] => {
  const seen = new Map<number, number>();
  const ranked = batch.map((one) => {
    const round = seen.get(one.n) ?? 0;
    seen.set(one.n, round + 1);
    return { one, round };
  });
  return ranked.sort((a, b) => a.round - b.round).map(({ one }) => one);
};

test('any batches of reserves, resolutions, transfers and changes of quotas come to what the model comes to', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(limits, reserveBatch, settleBatch, changes), {
        minLength: 1,
        maxLength: 8,
      }),
      run,
    ),
    { numRuns: 60 },
  );
}, 120_000);

/** Each client's operations one after the other, all clients at once. */
const race = async (clients: readonly (readonly Op[])[]): Promise<void> => {
  const { tenant, model, reserve, settle, change: book, limit, balances } = await installed();
  const answers: { readonly asked: Change; readonly answer: Booking }[] = [];
  // One reader has the offsets: settling is serial.
  let settling: Promise<unknown> = Promise.resolve();
  await Promise.all(
    clients.map(async (ops, client) => {
      for (const one of ops)
        if (one.op === 'reserve')
          // A message is its client's own: two that insert one at once are retried by the worker, not here.
          await reserve([{ ...one, n: one.n + 100 * client }]);
        else if (one.op === 'settle') {
          settling = settling.then(() => settle([{ ...one, n: one.n + 100 * client }]));
          await settling;
        } else if (one.op === 'limits') await limit(one);
        else answers.push({ asked: one, answer: await book(one) });
    }),
  );

  expect(await database.query(DRIFT)).toEqual([]);
  // The journal, in the order of its times, is one that the model books too; what the accounts hold is its sum.
  const journal = await database.query<{ id: number }>(
    {
      name: 'journal-order',
      text: `select split_part(transfer_id, '/', 2)::integer as id from transfers
             where transfer_id ~ ('^' || $1 || '/[0-9]') order by created_at`,
    },
    [tenant],
  );
  const booked = answers.filter(({ answer }) => answer.kind === 'booked');
  expect(booked.map(({ asked }) => asked.id).sort()).toEqual(journal.map(({ id }) => id).sort());
  for (const [id, of] of groups(answers)) {
    const first = of.find(({ answer }) => answer.kind === 'booked');
    for (const { asked, answer } of of)
      if (answer.kind === 'repeated') {
        expect(first, `${id} was booked`).toBeDefined();
        expect({ ...answer, kind: 'booked' }).toEqual(first?.answer);
        expect(asked).toEqual(first?.asked);
      } else if (answer.kind === 'idempotency_conflict') expect(asked).not.toEqual(first?.asked);
  }
  for (const account of model.accounts.values()) Object.assign(account, { cash: 1e6, units: 1e6 });
  for (const { id } of journal) {
    const found = booked.find(({ asked }) => asked.id === id);
    expect(found === undefined ? 'unknown' : model.change(found.asked)).toBe('booked');
  }
  for (const one of await balances()) {
    const { granted, grantedUnits, open } = model.accounts.get(one.businessLine) ?? {};
    expect([one.cash.granted, one.pv.granted, one.open]).toEqual([
      BigInt(granted ?? 0),
      BigInt(grantedUnits ?? 0),
      open,
    ]);
  }
};

const groups = <T extends { readonly asked: Change }>(all: readonly T[]) => {
  const found = new Map<number, T[]>();
  for (const one of all) found.set(one.asked.id, [...(found.get(one.asked.id) ?? []), one]);
  return found;
};

test('clients at once: each id is booked once, and every account is the sum of its journal', async () => {
  const ops = fc.array(
    fc.oneof(
      { weight: 3, arbitrary: change },
      { weight: 1, arbitrary: reserveBatch.map(([one]) => one) },
      { weight: 1, arbitrary: settleBatch.map(([one]) => one) },
      { weight: 1, arbitrary: limits.map(([one]) => one) },
    ),
    { minLength: 3, maxLength: 15 },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(ops, { minLength: 2, maxLength: 6 }), (clients) =>
      race(clients.map((client) => client.filter((one) => one !== undefined))),
    ),
    { numRuns: 25 },
  );
}, 120_000);
