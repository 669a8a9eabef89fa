import { performance } from 'node:perf_hooks';
import pg from 'pg';
import { v4, v7 } from 'uuid';
import type { ReservationRequest } from '../../processors/budget-reserve/reservations.js';
import type { Posting } from '../../processors/settle/settlements.js';
import { messageId, tenantId } from '../../schemas/brand.js';
import { postgresLedger } from '../../sinks/postgres/ledger.js';
import { DEFAULT_SCHEMA } from '../../sinks/postgres/pool.js';
import { postgresQuotas } from '../../sinks/postgres/quotas.js';
import { postgresSettlements } from '../../sinks/postgres/settlements.js';
import { type FreshDatabase, freshDatabase } from '../../sinks/postgres/testing/fresh-database.js';
import { funded } from '../../sinks/postgres/testing/funded.js';
import { ownedReservations } from '../../sinks/postgres/testing/owned-reservations.js';
import { seeded, zipf } from '../traffic/random.js';
import { median, round } from './figures.js';

export interface LedgerRates {
  /** Messages a second, one task's batches one after the other. */
  readonly reservesPerSecond: number;
  /** Reserved and posted a second: one task reserves while another settles what was reserved before. */
  readonly pairsPerSecond: number;
}

export interface LedgerResult {
  readonly ids: Ids;
  /** One account that every message is of, in tables that hold next to nothing. */
  readonly ours: LedgerRates & {
    /** A thousand accounts, the busiest first (Zipf, exponent 1). */
    readonly zipf: LedgerRates;
    /** The hot account, with quotas by day and month of its tenant and of itself, none of them near its limit. */
    readonly quotas: LedgerRates;
    /** The hot account in tables of so many rows. */
    readonly grown: LedgerRates & { readonly rows: number };
  };
  /** The same reservations, a statement and a transaction each. */
  readonly rowByRow: { readonly reservesPerSecond: number };
  readonly ratio: {
    readonly reserveVsRowByRow: number;
    /** What the rows of `grown` cost: 1 is nothing. */
    readonly grownVsEmptyReserve: number;
    readonly grownVsEmptyPairs: number;
    /** What quotas cost: 1 is nothing. */
    readonly quotasVsNoneReserve: number;
    readonly quotasVsNonePairs: number;
  };
  /** Accounts whose counters do not add up to what was done: 0. */
  readonly wrongAccounts: number;
}

/** Message ids: random ones (v4), or such as begin with their time (v7), as producers are advised. */
export const IDS = ['v7', 'v4'] as const;
type Ids = (typeof IDS)[number];

const NEW_ID = {
  v7: { here: () => v7(), inPostgres: 'uuidv7()' },
  v4: { here: () => v4(), inPostgres: 'gen_random_uuid()' },
} as const;

export interface LedgerOptions {
  readonly ids: Ids;
  /** Of the grown tables. */
  readonly rows: number;
  /** Each measures everything once; medians are reported. */
  readonly rounds: number;
}

const BATCH = 500;
/** Of one measurement. */
const BATCHES = 40;
const ONE_BY_ONE = 1_000;
const ACCOUNTS = 1_000;
const CASH = 45_000n;
const UNITS = 1;
const PRICE = 40_000n;
/** More than any run spends. */
const FUNDS = { cashMicros: 10n ** 15n, units: 10n ** 9n } as const;
const CHANNEL = 'sms';
const FILLED_AT_ONCE = 250_000;

/** A ledger of its own, and what was done to it. */
class BenchLedger {
  private readonly database: FreshDatabase;
  private readonly reservations;
  private readonly settlements;
  private readonly draw = zipf(ACCOUNTS, 1);
  private readonly random = seeded(1);
  private readonly posted = new Map<string, bigint>();
  private reserved = 0;
  private settled = 0;

  private readonly id;

  private constructor(database: FreshDatabase, ids: Ids) {
    this.database = database;
    this.id = NEW_ID[ids];
    this.reservations = ownedReservations(database);
    this.settlements = postgresSettlements(database, 'settle');
  }

  static async open(ids: Ids): Promise<BenchLedger> {
    const ledger = new BenchLedger(await freshDatabase(), ids);
    for (let account = 0; account < ACCOUNTS; account++)
      await funded(ledger.database, {
        transferId: `bench:${account.toString()}`,
        tenantId: 'bench',
        businessLine: lineOf(account),
        currency: 'CNY',
        note: '',
        ...FUNDS,
      });
    await ledger.settlements.loadOffsets([{ topic: 'feedback', partition: 0, beginning: 0 }]);
    // The day's table, and plans of both functions.
    await ledger.pairs(() => 0, 4);
    return ledger;
  }

  /** The tenant and its hot account get quotas that no run uses up. */
  async limit(): Promise<this> {
    const quotas = (['day', 'month'] as const).map((period) => ({
      channel: CHANNEL,
      period,
      cash: '1000000000',
      units: 1_000_000_000,
      elasticFactor: 1,
    }));
    const hot = { name: lineOf(0), currency: 'CNY', initialCash: '0', initialUnits: 0, quotas };
    await postgresQuotas(this.database).set([
      { id: 'bench', ownIngest: false, lanes: ['p1'], quotas, businessLines: [hot] },
    ]);
    return this;
  }

  close(): Promise<void> {
    return this.database.drop();
  }

  readonly hot = (): number => 0;
  readonly spread = (): number => this.draw(this.random);

  /** Messages a second. */
  async reserves(account: () => number): Promise<number> {
    const batches = Array.from({ length: BATCHES }, () => this.batch(account));
    const seconds = await timed(async () => {
      for (const batch of batches) await this.reserve(batch);
    });
    await this.settle(batches.flat());
    return (BATCHES * BATCH) / seconds;
  }

  /** Messages a second. */
  async pairs(account: () => number, count = BATCHES): Promise<number> {
    const batches = Array.from({ length: count }, () => this.batch(account));
    const seconds = await timed(async () => {
      let settling = Promise.resolve();
      for (const batch of batches) {
        await this.reserve(batch);
        const before = settling;
        settling = before.then(() => this.settle(batch));
        // As the tasks of a worker: one behind the other, and never far.
        await before;
      }
      await settling;
    });
    return (count * BATCH) / seconds;
  }

  /** Messages a second. */
  async rowByRow(): Promise<number> {
    const messages = Array.from({ length: ONE_BY_ONE }, this.id.here);
    const day = new Date().toISOString().slice(0, 10);
    const seconds = await timed(async () => {
      for (const [index, id] of messages.entries())
        await this.database.query(ONE_ROW, [
          'bench',
          lineOf(0),
          day,
          id,
          CASH,
          UNITS,
          'by-row',
          index,
        ]);
    });
    // Its money must add up too.
    await this.settle(messages.map((id) => this.request(0, id)));
    return ONE_BY_ONE / seconds;
  }

  /** Rows of messages that were posted, as many days of traffic leave them. */
  async fill(rows: number): Promise<void> {
    // Not of the workers' pool, whose statements may not take this long.
    const client = new pg.Client({
      connectionString: this.database.url,
      options: `-c search_path=${DEFAULT_SCHEMA}`,
    });
    await client.connect();
    try {
      for (let done = 0; done < rows; done += FILLED_AT_ONCE)
        await client.query(filling(this.id.inPostgres), [Math.min(FILLED_AT_ONCE, rows - done)]);
      await client.query('vacuum analyze reservations');
    } finally {
      await client.end();
    }
  }

  async wrongAccounts(): Promise<number> {
    const balances = await postgresLedger(this.database).balances();
    return balances.filter(({ businessLine, cash }) => {
      const posted = this.posted.get(businessLine) ?? 0n;
      return (
        cash.pending !== 0n ||
        cash.posted !== posted ||
        cash.available !== FUNDS.cashMicros - posted
      );
    }).length;
  }

  private request(account: number, id: string): ReservationRequest {
    const offset = this.reserved++;
    return {
      tenantId: tenantId('bench'),
      businessLine: lineOf(account),
      messageId: messageId(id),
      generation: 0,
      createdAt: Date.now(),
      at: { topic: 'deduped.p1', partition: 0, offset },
      cashMicros: CASH,
      units: UNITS,
      currency: 'CNY',
      unitsCap: null,
      cashCapMicros: null,
      candidates: [{ channel: CHANNEL, cashMicros: CASH }],
    };
  }

  private batch(account: () => number): readonly ReservationRequest[] {
    return Array.from({ length: BATCH }, () => this.request(account(), this.id.here()));
  }

  private async reserve(batch: readonly ReservationRequest[]): Promise<void> {
    const decisions = await this.reservations.reserve(batch);
    const refused = decisions.find(({ kind }) => kind !== 'reserved');
    if (refused !== undefined) throw new Error(`a reservation was answered ${refused.kind}`);
  }

  private async settle(batch: readonly ReservationRequest[]): Promise<void> {
    for (let from = 0; from < batch.length; from += BATCH) {
      const postings = batch.slice(from, from + BATCH).map((request): Posting => {
        const { businessLine } = request;
        this.posted.set(businessLine, (this.posted.get(businessLine) ?? 0n) + PRICE);
        return { ...request, kind: 'post', cashMicros: PRICE, renewable: false, channel: CHANNEL };
      });
      const start = this.settled;
      this.settled += postings.length;
      const answer = await this.settlements.apply([
        { topic: 'feedback', partition: 0, start, next: this.settled, postings },
      ]);
      if (answer.kind !== 'applied' || answer.outcomes.applied !== postings.length)
        throw new Error(`a settlement was answered ${JSON.stringify(answer)}`);
    }
  }
}

const lineOf = (account: number): string => `line-${account.toString()}`;

/** What a service without sets does: insert and debit, one message a transaction. */
const ONE_ROW = {
  name: 'one-row',
  text: `with account as (
    select account_id from accounts where tenant_id = $1 and business_line = $2 and open
  ), inserted as (
    insert into reservations (
      day, tenant_id, message_id, generation, account_id, cash, units, topic, partition, record_offset
    )
    select $3::date, $1, $4::uuid, 0, account_id, $5, $6, $7, 0, $8 from account
    on conflict do nothing
    returning account_id
  )
  update budgets b
  set cash_available = cash_available - $5, cash_pending = cash_pending + $5,
    pv_available = pv_available - $6, pv_pending = pv_pending + $6
  from inserted where b.account_id = inserted.account_id
  returning b.account_id`,
};

const filling = (newId: string): string => `insert into reservations (
      day, tenant_id, message_id, generation, account_id, state, cash, units, posted_cash, posted_units, topic,
      partition, record_offset, resolved_at
    )
    select (now() at time zone 'utc')::date, 'bench', ${newId}, 0, 1, 'posted', ${CASH.toString()}, ${UNITS.toString()},
      ${PRICE.toString()}, ${UNITS.toString()}, 'filled', 0, 0, now()
    from generate_series(1, $1)`;

const timed = async (work: () => Promise<unknown>): Promise<number> => {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1_000;
};

const ratesOf = (reserves: readonly number[], pairs: readonly number[]): LedgerRates => ({
  reservesPerSecond: Math.round(median(reserves)),
  pairsPerSecond: Math.round(median(pairs)),
});

/** Three ledgers on the stack's Postgres, one with many rows and one with quotas, measured in turn: a busy machine is busy for both. */
export const ledgerBench = async (
  { ids, rows, rounds }: LedgerOptions,
  say: (line: string) => void,
): Promise<LedgerResult> => {
  const small = await BenchLedger.open(ids);
  const grown = await BenchLedger.open(ids);
  const limited = await (await BenchLedger.open(ids)).limit();
  try {
    say(`filling one ledger with ${rows.toString()} rows, ids ${ids}`);
    await grown.fill(rows);
    const figures = {
      reserves: [] as number[],
      pairs: [] as number[],
      zipfReserves: [] as number[],
      zipfPairs: [] as number[],
      grownReserves: [] as number[],
      grownPairs: [] as number[],
      limitedReserves: [] as number[],
      limitedPairs: [] as number[],
      rowByRow: [] as number[],
    };
    for (let number = 1; number <= rounds; number++) {
      say(`round ${number.toString()} of ${rounds.toString()}`);
      figures.reserves.push(await small.reserves(small.hot));
      figures.grownReserves.push(await grown.reserves(grown.hot));
      figures.limitedReserves.push(await limited.reserves(limited.hot));
      figures.rowByRow.push(await small.rowByRow());
      figures.pairs.push(await small.pairs(small.hot));
      figures.grownPairs.push(await grown.pairs(grown.hot));
      figures.limitedPairs.push(await limited.pairs(limited.hot));
      figures.zipfReserves.push(await small.reserves(small.spread));
      figures.zipfPairs.push(await small.pairs(small.spread));
    }
    const ratio = (one: readonly number[], other: readonly number[]): number =>
      round(median(one.map((rate, index) => rate / (other[index] ?? Number.NaN))), 2);
    return {
      ids,
      ours: {
        ...ratesOf(figures.reserves, figures.pairs),
        zipf: ratesOf(figures.zipfReserves, figures.zipfPairs),
        quotas: ratesOf(figures.limitedReserves, figures.limitedPairs),
        grown: { ...ratesOf(figures.grownReserves, figures.grownPairs), rows },
      },
      rowByRow: { reservesPerSecond: Math.round(median(figures.rowByRow)) },
      ratio: {
        reserveVsRowByRow: ratio(figures.reserves, figures.rowByRow),
        grownVsEmptyReserve: ratio(figures.grownReserves, figures.reserves),
        grownVsEmptyPairs: ratio(figures.grownPairs, figures.pairs),
        quotasVsNoneReserve: ratio(figures.limitedReserves, figures.reserves),
        quotasVsNonePairs: ratio(figures.limitedPairs, figures.pairs),
      },
      wrongAccounts:
        (await small.wrongAccounts()) +
        (await grown.wrongAccounts()) +
        (await limited.wrongAccounts()),
    };
  } finally {
    await small.close();
    await grown.close();
    await limited.close();
  }
};
