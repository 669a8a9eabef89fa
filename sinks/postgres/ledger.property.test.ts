import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Posting } from '../../processors/settle/settlements.js';
import type { ReservationRequest } from '../../processors/budget-reserve/reservations.js';
import { messageId, tenantId } from '../../schemas/brand.js';
import { postgresLedger } from './ledger.js';
import { postgresSettlements } from './settlements.js';
import { freshDatabase } from './testing/fresh-database.js';
import type { FreshDatabase } from './testing/fresh-database.js';
import { ownedReservations } from './testing/owned-reservations.js';

/** The ledger in a few lines, one message at a time: what the set-based functions must come to. */
class Model {
  readonly accounts = new Map<string, { cash: number; units: number }>();
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
    }
  >();

  reserve({ line, n, at, cash, units }: Reserve): string {
    const row = this.rows.get(String(n));
    if (row !== undefined && !(row.state === 'voided' && row.renewable)) {
      if (row.at === at) return 'reserved';
      return row.line === line ? 'duplicate' : 'idempotency_conflict';
    }
    const account = this.accounts.get(line);
    if (account === undefined) return 'unknown_account';
    if (account.cash < cash) return 'budget_cash';
    if (account.units < units) return 'budget_pv';
    account.cash -= cash;
    account.units -= units;
    const fresh = { posted: 0, postedUnits: 0, state: 'pending', renewable: false } as const;
    this.rows.set(String(n), { line, at, cash, units, ...fresh });
    return 'reserved';
  }

  settle({ kind, n, cash, units, renewable }: Settle): string {
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
      return 'applied';
    }
    if (row.state !== 'pending') return `already_${row.state}`;
    if (kind === 'void') Object.assign(row, { state: 'voided', renewable });
    else
      Object.assign(row, {
        state: 'posted',
        posted: Math.min(cash, row.cash),
        postedUnits: Math.min(units, row.units),
      });
    account.cash += row.cash - row.posted;
    account.units += row.units - row.postedUnits;
    return 'applied';
  }

  /** available and posted of an account; pending is what is left of its grant. */
  balance(line: string) {
    const mine = [...this.rows.values()].filter((row) => row.line === line);
    const sum = (field: 'posted' | 'postedUnits') =>
      BigInt(mine.reduce((total, row) => total + row[field], 0));
    const account = this.accounts.get(line);
    return {
      cash: { available: BigInt(account?.cash ?? 0), posted: sum('posted') },
      pv: { available: BigInt(account?.units ?? 0), posted: sum('postedUnits') },
    };
  }
}

interface Reserve {
  readonly op: 'reserve';
  readonly line: string;
  readonly n: number;
  readonly at: number;
  readonly cash: number;
  readonly units: number;
}
interface Settle {
  readonly op: 'settle';
  readonly kind: Posting['kind'];
  readonly n: number;
  readonly cash: number;
  readonly units: number;
  readonly renewable: boolean;
}

const LINES = ['a', 'b', 'c'];
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
    cash,
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
  }),
  { minLength: 1, maxLength: 40 },
);

let database: FreshDatabase;
beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());

let runs = 0;

const run = async (batches: readonly (readonly (Reserve | Settle)[])[]): Promise<void> => {
  runs += 1;
  const tenant = tenantId(`t${runs}`);
  const topic = `feedback.${runs}`;
  const ledger = postgresLedger(database);
  const reservations = ownedReservations(database);
  const settlements = postgresSettlements(database, 'settle');
  const model = new Model();
  for (const line of LINES) {
    model.accounts.set(line, { cash: 300, units: 12 });
    const transferId = `${tenant}/${line}`;
    const amounts = { currency: 'CNY', cashMicros: 300n, units: 12n };
    await ledger.grant({ transferId, tenantId: tenant, businessLine: line, ...amounts });
  }
  await settlements.loadOffsets([{ topic, partition: 0, beginning: 0 }]);
  const id = (n: number) => messageId(`00000000-0000-4000-8000-${String(n).padStart(12, '0')}`);
  let start = 0;

  for (const batch of batches) {
    const asked = batch.flatMap((one): ReservationRequest[] =>
      one.op === 'settle'
        ? []
        : [
            {
              tenantId: tenant,
              businessLine: one.line,
              messageId: id(one.n),
              generation: 0,
              createdAt: NOON,
              at: { topic: 'ingest.p0', partition: 0, offset: one.at },
              cashMicros: BigInt(one.cash),
              units: one.units,
              currency: 'CNY',
              unitsCap: null,
              cashCapMicros: null,
            },
          ],
    );
    const postings = batch.flatMap((one): Posting[] =>
      one.op === 'reserve'
        ? []
        : [
            {
              kind: one.kind,
              tenantId: tenant,
              messageId: id(one.n),
              generation: 0,
              createdAt: NOON,
              cashMicros: BigInt(one.cash),
              units: one.units,
              renewable: one.kind === 'void' && one.renewable,
            },
          ],
    );
    if (asked.length > 0) {
      const expected = inRounds(batch).map((one) => ({
        one,
        kind: one.op === 'reserve' ? model.reserve(one) : '',
      }));
      const decisions = await reservations.reserve(asked);
      expect(decisions.map(({ kind }) => kind)).toEqual(
        batch.map((one) => expected.find((other) => other.one === one)?.kind),
      );
    }
    if (postings.length > 0) {
      const counts: Record<string, number> = {};
      for (const one of batch)
        if (one.op === 'settle') {
          const outcome = model.settle(one);
          counts[outcome] = (counts[outcome] ?? 0) + 1;
        }
      const next = start + postings.length;
      const answer = await settlements.apply([{ topic, partition: 0, start, next, postings }]);
      start = next;
      expect(answer).toMatchObject({ kind: 'applied', outcomes: counts });
    }
  }

  const balances = await ledger.balances();
  for (const line of LINES)
    expect(
      balances.find((one) => one.tenantId === tenant && one.businessLine === line),
    ).toMatchObject(model.balance(line));
};

/** A message's second request in a batch is decided after all first ones: the order among those stays. */
const inRounds = (batch: readonly (Reserve | Settle)[]): readonly (Reserve | Settle)[] => {
  const seen = new Map<number, number>();
  const ranked = batch.map((one) => {
    const round = seen.get(one.n) ?? 0;
    seen.set(one.n, round + 1);
    return { one, round };
  });
  return ranked.sort((a, b) => a.round - b.round).map(({ one }) => one);
};

test('any batches of reserves and resolutions come to what the model comes to', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(reserveBatch, settleBatch), { minLength: 1, maxLength: 8 }),
      run,
    ),
    { numRuns: 60 },
  );
}, 120_000);
