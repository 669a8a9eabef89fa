import type {
  ReservationDecision,
  ReservationRequest,
} from '../../processors/budget-reserve/reservations.js';
import type { Posting as SettlePosting } from '../../processors/settle/settlements.js';
import { type MessageId, messageId, tenantId } from '../../schemas/brand.js';
import { PipelineError } from '../../schemas/error.js';
import { postgresExpiredReservations } from '../../sinks/postgres/expired-reservations.js';
import { partitionOwnership } from '../../sinks/postgres/partition-ownership.js';
import { type Database, openDatabase } from '../../sinks/postgres/pool.js';
import { postgresReservations } from '../../sinks/postgres/reservations.js';
import { postgresSettlements } from '../../sinks/postgres/settlements.js';
import { type Booking, postgresTransfers } from '../../sinks/postgres/transfers.js';
import { type Random, seeded } from '../traffic/random.js';
import { type Posting, type Row, expire, isFree, reservedRow, resolve } from './model.js';

export const TENANT = tenantId('ledger-run');
export const LINES = ['a', 'b', 'c', 'd', 'e'] as const;
/** The dearer first. A message that finds no room on it may go by the other. */
export const CHANNELS = ['sms', 'push'] as const;
export const CURRENCY = 'CNY';
/** Every message of a run is of one day, as if the run began at its noon. */
export const CREATED_AT = Date.UTC(2026, 4, 20, 12);

/** Of every message: long ago, for nobody attempts any. */
const EXPIRES_AT = CREATED_AT + 60_000;

const RESERVED = 'deduped.p1';
const FEEDBACK = 'feedback';
const CONSUMER = 'settle';
const MOST_OF_A_BATCH = 200;
/** Messages that all clients ask for, and nobody resolves. */
const SHARED = 500;
const RETRY_MS = 50;
/** Longer than Postgres needs to come back from a crash; a client that waits longer has found a defect. */
const AWAY_MS = 120_000;

/** What a client did; by the last answer where a call was repeated. */
export interface Tally {
  /** Messages reserved, postings, expiries and transfers: operations. */
  operations: number;
  reserved: number;
  refused: number;
  /** Of those: no channel had quota left. */
  overQuota: number;
  /** Reserved on the cheaper channel alone. */
  narrowed: number;
  duplicates: number;
  postings: number;
  /** Asked to expire. */
  expired: number;
  booked: number;
  /** Calls made again: Postgres went away, or another client inserted one of their messages at that moment. */
  repeated: number;
}

export interface ClientOptions {
  readonly url: string;
  readonly schema: string;
  /** From 0; its partition of both topics. */
  readonly number: number;
  readonly seed: number;
  readonly operations: number;
  /** Told after each call how many operations it made. */
  readonly done: (operations: number) => void;
  readonly signal: AbortSignal;
}

const ABOUT = ['grant', 'transfer', 'close'] as const;

/**
 * Asks the ledger for random things, one call after the other, and each again until it is answered, as a stage does; and
 * keeps by itself what must have come of it.
 */
export class LedgerClient {
  readonly number: number;
  readonly tally: Tally = {
    operations: 0,
    reserved: 0,
    refused: 0,
    overQuota: 0,
    narrowed: 0,
    duplicates: 0,
    postings: 0,
    expired: 0,
    booked: 0,
    repeated: 0,
  };
  /** Of its own messages. */
  readonly rows = new Map<string, Row>();
  /** Of shared messages: offsets of its records that were answered `reserved`. */
  readonly sharedWins = new Map<string, number>();
  /** Ids that were answered `booked` or `repeated`. */
  readonly transfers = new Set<string>();
  readonly problems: string[] = [];
  private readonly options: ClientOptions;
  private readonly database: Database;
  private readonly reservations;
  private readonly settlements;
  private readonly expiring;
  private readonly book;
  private readonly random: Random;
  /** Ids of `rows`, to draw from. */
  private readonly ids: string[] = [];
  private offset = 0;
  private settled = 0;
  private named = 0;

  constructor(options: ClientOptions) {
    this.options = options;
    this.number = options.number;
    this.database = openDatabase({
      databaseUrl: options.url,
      schema: options.schema,
      maxConnections: 1,
    });
    this.reservations = postgresReservations(this.database, partitionOwnership(this.database));
    this.settlements = postgresSettlements(this.database, CONSUMER);
    this.expiring = postgresExpiredReservations(this.database);
    this.book = postgresTransfers(this.database);
    this.random = seeded(options.seed * 1_000 + options.number);
  }

  async run(): Promise<Tally> {
    try {
      await this.answered(() =>
        this.reservations.takeOver([{ topic: RESERVED, partition: this.number }]),
      );
      await this.storedOffset();
      while (this.tally.operations < this.options.operations) {
        const before = this.tally.operations;
        await this.next();
        this.options.done(this.tally.operations - before);
      }
      return this.tally;
    } finally {
      await this.database.close();
    }
  }

  private next(): Promise<void> {
    const dice = this.random.int(100);
    if (dice < 48) return this.reserve();
    if (dice < 93 && this.ids.length > 0) return this.settle();
    if (dice < 96 && this.ids.length > 0) return this.expire();
    return this.transfer(this.random.pick(ABOUT));
  }

  /** @throws what no repeating mends */
  private async answered<T>(call: () => Promise<T>): Promise<T> {
    const end = Date.now() + AWAY_MS;
    for (;;) {
      this.options.signal.throwIfAborted();
      try {
        return await call();
      } catch (error) {
        if (
          !(error instanceof PipelineError) ||
          error.code !== 'postgres_unavailable' ||
          Date.now() > end
        )
          throw error;
        this.tally.repeated += 1;
        await new Promise((wake) => setTimeout(wake, RETRY_MS));
      }
    }
  }

  private async reserve(): Promise<void> {
    const asked = new Map<string, ReservationRequest>();
    for (let left = 1 + this.random.int(MOST_OF_A_BATCH); left > 0; left--) {
      const request = this.request(this.random.int(100));
      asked.set(request.messageId, request);
    }
    const batch = [...asked.values()];
    const decisions = await this.answered(() => this.reservations.reserve(batch));
    this.tally.operations += batch.length;
    for (const [index, request] of batch.entries())
      this.took(request, decisions[index] ?? { kind: 'too_old' });
  }

  private request(dice: number): ReservationRequest {
    const line = this.random.pick(LINES);
    const base = {
      tenantId: TENANT,
      businessLine: line,
      generation: 0,
      createdAt: CREATED_AT,
      expiresAt: EXPIRES_AT,
      currency: CURRENCY,
      unitsCap: null,
      cashCapMicros: null,
      ...priced(BigInt(1 + this.random.int(90))),
      units: this.random.int(3),
    };
    const again = dice < 15 ? this.drawn() : undefined;
    if (again !== undefined) {
      const [id, row] = again;
      // The same record read again, or another record of the same message.
      const same = dice < 8 && !isFree(row);
      return {
        ...base,
        businessLine: row.line,
        messageId: messageId(id),
        ...priced(BigInt(row.cash)),
        units: row.units,
        at: this.at(same ? row.offset : this.offset++),
      };
    }
    const id = dice < 20 ? sharedId(this.random.int(SHARED)) : this.newId();
    return { ...base, messageId: id, at: this.at(this.offset++) };
  }

  private took(
    { messageId: id, businessLine, at }: ReservationRequest,
    decision: ReservationDecision,
  ): void {
    const { kind } = decision;
    const refused = kind === 'budget_cash' || kind === 'budget_pv' || kind === 'quota';
    if (kind === 'reserved') this.tally.reserved += 1;
    else if (refused) this.tally.refused += 1;
    else this.tally.duplicates += 1;
    if (kind === 'quota') this.tally.overQuota += 1;
    if (isShared(id)) {
      if (kind === 'reserved') this.sharedWins.set(id, at.offset);
      return;
    }
    const row = this.rows.get(id);
    if (row !== undefined && !isFree(row)) {
      const expected = row.offset === at.offset ? 'reserved' : 'duplicate';
      if (kind !== expected) this.problems.push(`${id}: answered ${kind} instead of ${expected}`);
      return;
    }
    if (kind === 'reserved') {
      if (row === undefined) this.ids.push(id);
      const { cashMicros, units, channels = CHANNELS } = decision;
      if (channels.length < CHANNELS.length) this.tally.narrowed += 1;
      const cash = Number(cashMicros);
      const { offset } = at;
      this.rows.set(id, reservedRow({ cash, units, offset, line: businessLine, channels }));
    } else if (!refused) this.problems.push(`${id}: answered ${kind}, and nobody reserved it`);
  }

  private async settle(): Promise<void> {
    const postings: SettlePosting[] = [];
    for (let left = 1 + this.random.int(MOST_OF_A_BATCH); left > 0; left--) {
      const drawn = this.drawn();
      if (drawn === undefined) break;
      const kind = this.random.pick(['post', 'post', 'post', 'void', 'reverse'] as const);
      const { cash, channels } = drawn[1];
      const channel = this.random.pick(channels);
      postings.push({
        kind,
        tenantId: TENANT,
        messageId: messageId(drawn[0]),
        generation: 0,
        createdAt: CREATED_AT,
        // At times above what was reserved: booked at the reservation. On the cheaper of two channels not above its price.
        cashMicros: BigInt(
          this.random.int(channels.length > 1 && channel === CHANNELS[1] ? cheaper(cash) + 1 : 100),
        ),
        units: this.random.int(4),
        renewable: kind === 'void' && this.random.chance(0.5),
        ...(kind !== 'void' && { channel }),
      });
    }
    const start = this.settled;
    const next = start + postings.length;
    const slice = { topic: FEEDBACK, partition: this.number, start, next, postings };
    const { kind } = await this.answered(() => this.settlements.apply([slice]));
    // Not our offset any more: the call before had been committed, and only its answer was lost.
    const stored = kind === 'applied' ? next : await this.storedOffset();
    if (stored !== next) {
      this.problems.push(
        `settle: offset ${stored.toString()} is stored instead of ${next.toString()}`,
      );
      return;
    }
    this.settled = next;
    this.tally.operations += postings.length;
    this.tally.postings += postings.length;
    for (const { messageId: id, cashMicros, ...posting } of postings) {
      const row = this.rows.get(id);
      if (row !== undefined) resolve(row, asModel(posting, cashMicros));
    }
  }

  /** As the chore does, of messages that it found unclaimed and unattempted. */
  private async expire(): Promise<void> {
    const ids = new Set<string>();
    for (let left = 1 + this.random.int(20); left > 0; left--) ids.add(this.drawn()?.[0] ?? '');
    ids.delete('');
    const day = new Date(CREATED_AT).toISOString().slice(0, 10);
    const named = [...ids].map((id) => ({
      day,
      tenantId: TENANT,
      messageId: messageId(id),
      generation: 0,
    }));
    await this.answered(() => this.expiring.expire(named, EXPIRES_AT + 1));
    this.tally.operations += named.length;
    this.tally.expired += named.length;
    for (const id of ids) {
      const row = this.rows.get(id);
      if (row !== undefined) expire(row);
    }
  }

  private async storedOffset(): Promise<number> {
    const partition = { topic: FEEDBACK, partition: this.number, beginning: 0 };
    const [stored = 0] = await this.answered(() => this.settlements.loadOffsets([partition]));
    return stored;
  }

  private async transfer(about: (typeof ABOUT)[number]): Promise<void> {
    const transferId = `${this.number.toString()}:${(this.named++).toString()}`;
    const of = (businessLine: string) => ({ tenantId: TENANT, businessLine });
    const amounts = {
      currency: CURRENCY,
      cashMicros: BigInt(1 + this.random.int(20_000)),
      units: BigInt(this.random.int(800)),
    };
    const line = this.random.pick(LINES);
    const other = this.random.pick(LINES);
    const books: Record<(typeof ABOUT)[number], () => Promise<Booking>> = {
      grant: () => this.book.grant({ transferId, ...of(line), ...amounts }),
      transfer: () => this.book.transfer({ transferId, from: of(line), to: of(other), ...amounts }),
      // Of an account of its own: all others go on.
      close: async () => {
        const short = of(`short-${transferId}`);
        await this.book.openAccount(short, CURRENCY);
        await this.book.grant({ transferId: `${transferId}/grant`, ...short, ...amounts });
        return this.book.close({ transferId, ...short });
      },
    };
    const { kind } = await this.answered(books[about]);
    if (about === 'close') this.transfers.add(`${transferId}/grant`);
    if (kind === 'booked' || kind === 'repeated') this.transfers.add(transferId);
    else if (about !== 'transfer') this.problems.push(`${about} ${transferId}: answered ${kind}`);
    this.tally.booked += kind === 'booked' || kind === 'repeated' ? 1 : 0;
    this.tally.operations += 1;
  }

  private drawn(): readonly [string, Row] | undefined {
    const id = this.ids[this.random.int(this.ids.length)];
    const row = id === undefined ? undefined : this.rows.get(id);
    return id === undefined || row === undefined ? undefined : [id, row];
  }

  private at(offset: number) {
    return { topic: RESERVED, partition: this.number, offset };
  }

  private newId(): MessageId {
    return uuid(1 + this.number, this.named++);
  }
}

const asModel = (
  posting: Omit<SettlePosting, 'messageId' | 'cashMicros'>,
  cash: bigint,
): Posting => ({
  kind: posting.kind,
  cash: Number(cash),
  units: posting.units,
  renewable: posting.renewable,
});

const cheaper = (cash: number): number => Math.ceil(cash / 3);

const priced = (cashMicros: bigint) => ({
  cashMicros,
  candidates: [
    { channel: CHANNELS[0], cashMicros },
    { channel: CHANNELS[1], cashMicros: BigInt(cheaper(Number(cashMicros))) },
  ],
});

/** Of namespace and number: as good as random to Postgres, and told apart without a table. */
const uuid = (namespace: number, number: number): MessageId =>
  messageId(
    `${number.toString(16).padStart(8, '0')}-0000-4000-8000-${namespace.toString(16).padStart(12, '0')}`,
  );

const sharedId = (number: number): MessageId => uuid(0, number);
export const isShared = (id: string): boolean => id.endsWith('-000000000000');
