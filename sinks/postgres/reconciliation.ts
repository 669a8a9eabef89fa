import pg from 'pg';
import type { DeliveryFeedback } from '../../schemas/generated/records.js';
import type { KafkaRecord } from '../../schemas/record.js';
import { numberArray, plainArray, textArray } from './array-literal.js';
import { attemptRows } from './attempts.js';
import { DEFAULT_SCHEMA, checkedSchema } from './pool.js';
import type { Database } from './pool.js';
import { postgresError } from './postgres-error.js';
import { sqlQuery } from './sql-files.js';

/** Every kind of break, closed. docs/operators/reconciliation.md says of each what it means and what to do. */
export const BREAK_CLASSES = [
  'counter_pending',
  'counter_posted',
  'counter_granted',
  'reservation_unposted',
  'reservation_unvoided',
  'reservation_unreversed',
  'voided_but_posted',
  'posted_without_attempt',
  'attempt_without_reservation',
  'posted_twice',
  'post_clamped',
  'amount_differs',
  'pending_overdue',
  'attempt_missing',
  'attempt_differs',
  'attempt_unheard',
  'statement_duplicate',
  'statement_unknown',
  'statement_currency',
  'statement_amount',
  'statement_missing',
] as const;
export type BreakClass = (typeof BREAK_CLASSES)[number];

/** A difference that was found. */
export interface Break {
  readonly class: BreakClass;
  /** Made from what was found: found again it is the same. */
  readonly breakId: string;
  readonly tenantId: string | null;
  readonly businessLine: string | null;
  readonly messageId: string | null;
  readonly generation: number | null;
  readonly attempt: number | null;
  /** Micros of the currency. What it is the amount of, its class says; below 0: too little is booked. */
  readonly cashMicros: bigint;
  /** PV. */
  readonly units: bigint;
  /** ISO 4217; empty: nobody named one. */
  readonly currency: string;
  /** Both sides, in words. */
  readonly detail: string;
  /** True: --apply books it. */
  readonly bookable: boolean;
}

/** All breaks of a class and currency. */
export interface BreakSum {
  readonly class: BreakClass;
  readonly currency: string;
  readonly breaks: bigint;
  readonly cashMicros: bigint;
  readonly units: bigint;
  readonly bookable: bigint;
}

/** As staged from `feedback`. */
export type FeedbackEntry = Pick<
  DeliveryFeedback,
  | 'tenantId'
  | 'messageId'
  | 'generation'
  | 'attempt'
  | 'sequence'
  | 'state'
  | 'settlement'
  | 'createdAt'
>;

/** A line of a provider's statement. */
export interface StatementLine {
  readonly line: number;
  readonly providerMessageId: string;
  readonly cashMicros: bigint;
  readonly currency: string;
}

export type BookingOutcome = 'booked' | 'repeated' | 'changed' | 'overdrawn';
/** How many corrections ended how. */
export type Bookings = Readonly<Record<BookingOutcome, number>>;

export interface Range {
  readonly partition: number;
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

interface BreakRow {
  readonly class: BreakClass;
  readonly break_id: string;
  readonly account_id: number | null;
  readonly tenant_id: string | null;
  readonly business_line: string | null;
  readonly message_id: string | null;
  readonly generation: number | null;
  readonly attempt: number | null;
  readonly cash: bigint;
  readonly units: bigint;
  readonly currency: string;
  readonly detail: string;
  readonly correction: Correction | null;
}

type Correction =
  | {
      readonly of: 'counters';
      readonly cashPending: string;
      readonly cashPosted: string;
      readonly pvPending: string;
      readonly pvPosted: string;
    }
  | { readonly of: 'reservation'; readonly found: object; readonly right: object }
  | { readonly of: 'attempt'; readonly sequence: number | null };

const breakOf = (row: BreakRow): Break => ({
  class: row.class,
  breakId: row.break_id,
  tenantId: row.tenant_id,
  businessLine: row.business_line,
  messageId: row.message_id,
  generation: row.generation,
  attempt: row.attempt,
  cashMicros: row.cash,
  units: row.units,
  currency: row.currency,
  detail: row.detail,
  bookable: row.correction !== null,
});

/** Breaks read at once while they are booked. */
const BOOKED_AT_ONCE = 500;
/** int8 is money here, as in the workers' pool. */
const types: pg.ClientConfig['types'] = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary'): unknown =>
    oid === 20 && format !== 'binary'
      ? BigInt
      : (pg.types.getTypeParser as (oid: number, format?: string) => unknown)(
          oid,
          format,
        )) as typeof pg.types.getTypeParser,
};

export interface ReconciliationOptions {
  readonly databaseUrl: string;
  readonly schema?: string;
  /** UTC, YYYY-MM-DD: of reservations.day. */
  readonly day: string;
  /** Who stores what of `feedback`: the sinks' groups. */
  readonly consumers: { readonly settle: string; readonly attempts: string };
  readonly feedbackTopic: string;
}

/**
 * One reconciliation: a connection whose transaction sees the ledger, the attempts and the sinks' offsets as of one
 * moment, however long it takes; what it collects lies in temporary tables, not in this process.
 * All throw PipelineError postgres_*.
 */
export class Reconciliation {
  private readonly client: pg.Client;
  private readonly options: ReconciliationOptions;

  private constructor(client: pg.Client, options: ReconciliationOptions) {
    this.client = client;
    this.options = options;
  }

  static async open(options: ReconciliationOptions): Promise<Reconciliation> {
    const client = new pg.Client({
      connectionString: options.databaseUrl,
      options: `-c search_path=${checkedSchema(options.schema ?? DEFAULT_SCHEMA)} -c timezone=UTC -c work_mem=128MB -c jit=off`,
      application_name: 'millrace reconcile',
      connectionTimeoutMillis: 3_000,
      keepAlive: true,
      types,
    });
    // A connection that breaks also fails the query that is under way, or the next.
    client.on('error', () => undefined);
    const opened = new Reconciliation(client, options);
    try {
      await client.connect();
      await client.query('begin isolation level repeatable read');
      await client.query(sqlQuery('reconcile-tables').text);
      await client.query('create temporary table reconciled (day date not null)');
      await client.query('insert into reconciled values ($1)', [options.day]);
    } catch (cause) {
      await client.end().catch(() => undefined);
      throw postgresError(cause);
    }
    return opened;
  }

  close(): Promise<void> {
    return this.client.end();
  }

  private async query<Row extends pg.QueryResultRow>(
    text: string,
    values: readonly unknown[] = [],
  ): Promise<Row[]> {
    try {
      return (await this.client.query<Row>(text, [...values])).rows;
    } catch (cause) {
      throw postgresError(cause);
    }
  }

  /** A detached day has no reservations to compare. */
  async day(): Promise<'attached' | 'detached' | 'empty'> {
    const [row] = await this.query<{ attached: boolean }>(
      'select attached from reservation_days where day = $1',
      [this.options.day],
    );
    if (row === undefined) return 'empty';
    return row.attached ? 'attached' : 'detached';
  }

  async counts(): Promise<{
    readonly reservations: bigint;
    readonly attempts: bigint;
    readonly feedback: bigint;
    readonly statement: bigint;
  }> {
    const [row] = await this.query<{
      reservations: bigint;
      attempts: bigint;
      feedback: bigint;
      statement: bigint;
    }>(`select (select count(*) from reservations where day = (select day from reconciled)) as reservations,
      (select count(*) from attempts where created_at >= (select day from reconciled)
        and created_at < (select day + 1 from reconciled)) as attempts,
      (select count(*) from fed) as feedback, (select count(*) from stated) as statement`);
    return row ?? { reservations: 0n, attempts: 0n, feedback: 0n, statement: 0n };
  }

  /** How far the attempts sink has stored `feedback`, by partition; empty: it has not begun. */
  async stored(): Promise<ReadonlyMap<number, number>> {
    return this.offsets(this.options.consumers.attempts);
  }

  /** What of `feedback` one of the two sinks has stored and the other has not. */
  async between(): Promise<readonly Range[]> {
    const attempts = await this.stored();
    const settle = await this.offsets(this.options.consumers.settle);
    return [...new Set([...attempts.keys(), ...settle.keys()])].flatMap((partition) => {
      const [one, other] = [attempts.get(partition), settle.get(partition)];
      // A sink that has no row yet has stored nothing; from where, nobody knows.
      const [from, to] = [Math.min(one ?? 0, other ?? 0), Math.max(one ?? 0, other ?? 0)];
      return from === to ? [] : [{ partition, from, to }];
    });
  }

  private async offsets(consumer: string): Promise<ReadonlyMap<number, number>> {
    const rows = await this.query<{ partition: number; next_offset: bigint }>(
      'select partition, next_offset from offsets where consumer = $1 and topic = $2',
      [consumer, this.options.feedbackTopic],
    );
    return new Map(rows.map((row) => [row.partition, Number(row.next_offset)]));
  }

  /** True: all feedback of attempts made on the day is stored. */
  async dayIsStored(): Promise<boolean> {
    const [row] = await this.query<{ stored: boolean | null }>(
      `select count(*) = count(passed) and min(passed) >= (select day + 1 from reconciled) as stored
       from offsets where consumer = $1`,
      [this.options.consumers.attempts],
    );
    return row?.stored ?? false;
  }

  /** Messages that are under way between the two sinks: compared with nothing. */
  async stageInFlight(
    batch: readonly Pick<FeedbackEntry, 'tenantId' | 'messageId' | 'generation'>[],
  ): Promise<void> {
    await this.query(
      'insert into in_flight select * from unnest($1::text[], $2::uuid[], $3::integer[])',
      [
        textArray(batch.map(({ tenantId }) => tenantId)),
        plainArray(batch.map(({ messageId }) => messageId)),
        numberArray(batch.map(({ generation }) => generation)),
      ],
    );
  }

  async stageFeedback(batch: readonly FeedbackEntry[]): Promise<void> {
    const sign = { post: 1n, reverse: -1n, void: 0n, none: 0n } as const;
    await this.query(
      `insert into fed select * from unnest($1::text[], $2::uuid[], $3::integer[], $4::integer[], $5::integer[],
         $6::text[], $7::bigint[], $8::integer[])`,
      [
        textArray(batch.map(({ tenantId }) => tenantId)),
        plainArray(batch.map(({ messageId }) => messageId)),
        numberArray(batch.map(({ generation }) => generation)),
        numberArray(batch.map(({ attempt }) => attempt)),
        numberArray(batch.map(({ sequence }) => sequence)),
        plainArray(batch.map(({ state }) => state)),
        numberArray(batch.map(({ settlement }) => settlement.cashMicros * sign[settlement.kind])),
        numberArray(
          batch.map(({ settlement }) => BigInt(settlement.units) * sign[settlement.kind]),
        ),
      ],
    );
  }

  async stageStatement(batch: readonly StatementLine[]): Promise<void> {
    await this.query(
      'insert into stated select * from unnest($1::integer[], $2::text[], $3::bigint[], $4::text[])',
      [
        numberArray(batch.map(({ line }) => line)),
        textArray(batch.map(({ providerMessageId }) => providerMessageId)),
        numberArray(batch.map(({ cashMicros }) => cashMicros)),
        textArray(batch.map(({ currency }) => currency)),
      ],
    );
  }

  /** Counters against the rows they sum up, of all accounts and days. */
  async compareCounters(): Promise<void> {
    await this.query(sqlQuery('reconcile-counters').text);
  }

  /** @param overdue what was reserved before it should have ended */
  async compareReservations(overdue: Date): Promise<void> {
    await this.query(sqlQuery('reconcile-day-attempts').text);
    await this.query('analyze day_attempts');
    await this.query('analyze in_flight');
    await this.query(sqlQuery('reconcile-reservations').text, [overdue]);
  }

  async compareAttempts(): Promise<void> {
    await this.query('analyze fed');
    await this.query(sqlQuery('reconcile-attempts').text);
  }

  /** @param complete all attempts of the day are stored: an id that none has is unknown */
  async compareStatement(provider: string, complete: boolean): Promise<void> {
    await this.query('analyze stated');
    await this.query(sqlQuery('reconcile-statement').text, [provider, complete]);
  }

  async sums(): Promise<readonly BreakSum[]> {
    const rows = await this.query<{
      class: BreakClass;
      currency: string;
      breaks: bigint;
      cash: bigint;
      units: bigint;
      bookable: bigint;
    }>(`select class, currency, count(*) as breaks, sum(cash)::bigint as cash, sum(units)::bigint as units,
          count(correction) as bookable
        from found_breaks group by class, currency order by min(place)`);
    return rows.map(({ cash, ...row }) => ({ ...row, cashMicros: cash }));
  }

  /** At most so many of each class, in the order they were found. */
  async examples(ofEachClass: number): Promise<readonly Break[]> {
    const rows = await this.query<BreakRow>(
      `select * from (select *, row_number() over (partition by class order by place) as of_class from found_breaks) b
       where of_class <= $1 order by place`,
      [ofEachClass],
    );
    return rows.map(breakOf);
  }

  /** Keeps what was found (once a day, whoever comes first) and ends. */
  async keep(report: string, ofEachClass: number): Promise<void> {
    // The snapshot would not let us see, and so not pass over, what another kept since.
    await this.query('commit');
    await this.query('begin');
    const kept = await this.query(
      'insert into reconciliations (day, report) values ($1, $2) on conflict do nothing returning day',
      [this.options.day, report],
    );
    if (kept.length === 1)
      await this.query(
        `insert into reconciliation_breaks (day, break_id, class, tenant_id, business_line, message_id, generation, attempt,
           cash, units, currency, detail)
         select (select day from reconciled), break_id, class, tenant_id, business_line, message_id, generation, attempt,
           cash, units, currency, detail
         from (select *, row_number() over (partition by class order by place) as of_class from found_breaks) b
         where of_class <= $1
         on conflict do nothing`,
        [ofEachClass],
      );
    await this.query('commit');
  }

  /** Books money: what counters and reservations should say. Ends the snapshot; nothing is compared after it. */
  async book(actor: string, note: string): Promise<Bookings> {
    await this.query('commit');
    const bookings = { booked: 0, repeated: 0, changed: 0, overdrawn: 0 };
    for await (const row of this.bookable(['counters', 'reservation'])) {
      const { correction } = row;
      let outcomes: { readonly outcome: BookingOutcome }[] = [];
      if (correction?.of === 'counters')
        outcomes = await this.query(
          'select correct_counters($1, $2, $3, $4, $5, $6, $7, $8, $9) as outcome',
          [
            row.break_id,
            row.class,
            row.account_id,
            correction.cashPending,
            correction.cashPosted,
            correction.pvPending,
            correction.pvPosted,
            actor,
            note,
          ],
        );
      else if (correction?.of === 'reservation')
        outcomes = await this.query(
          'select correct_reservation($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) as outcome',
          [
            row.break_id,
            row.class,
            this.options.day,
            row.tenant_id,
            row.message_id,
            row.generation,
            JSON.stringify(correction.found),
            JSON.stringify(correction.right),
            actor,
            note,
          ],
        );
      for (const { outcome } of outcomes) bookings[outcome] += 1;
    }
    return bookings;
  }

  private async *bookable(of: readonly string[]): AsyncGenerator<BreakRow> {
    for (let place = 0n; ;) {
      const rows: (BreakRow & { readonly place: bigint })[] = await this.query(
        `select * from found_breaks where place > $1 and correction ->> 'of' = any ($2::text[])
         order by place limit ${BOOKED_AT_ONCE.toString()}`,
        [place, of],
      );
      yield* rows;
      const last = rows.at(-1);
      if (last === undefined) return;
      place = last.place;
    }
  }

  /** Attempts to be derived from their feedback again, at most so many. */
  async staleAttempts(atMost: number): Promise<ReadonlyMap<string, number | null>> {
    const stale = new Map<string, number | null>();
    for await (const row of this.bookable(['attempt'])) {
      if (stale.size === atMost) break;
      if (row.correction?.of === 'attempt')
        stale.set(
          attemptName(row.tenant_id, row.message_id, row.generation, row.attempt),
          row.correction.sequence,
        );
    }
    return stale;
  }

  /**
   * Derives attempts from all their feedback, each partition's in order. One that has had other feedback since it was
   * found stays as it is. After book().
   */
  async rebuildAttempts(
    records: readonly KafkaRecord<DeliveryFeedback>[],
    stale: ReadonlyMap<string, number | null>,
  ): Promise<void> {
    const first = new Map(
      records.map(({ value }) => [
        attemptName(value.tenantId, value.messageId, value.generation, value.attempt),
        value,
      ]),
    );
    const replaced = [...first].flatMap(([name, value]) => {
      const sequence = stale.get(name) ?? null;
      return sequence === null ? [] : [{ value, sequence }];
    });
    await this.query('begin');
    try {
      const gone = await this.query<{ name: string }>(
        `delete from attempts a
         using unnest($1::text[], $2::uuid[], $3::integer[], $4::integer[], $5::integer[])
           as found (tenant_id, message_id, generation, attempt, sequence)
         where (a.tenant_id, a.message_id, a.generation, a.attempt, a.sequence)
           = (found.tenant_id, found.message_id, found.generation, found.attempt, found.sequence)
         returning concat_ws('/', a.tenant_id, a.message_id, a.generation, a.attempt) as name`,
        [
          textArray(replaced.map(({ value }) => value.tenantId)),
          plainArray(replaced.map(({ value }) => value.messageId)),
          numberArray(replaced.map(({ value }) => value.generation)),
          numberArray(replaced.map(({ value }) => value.attempt)),
          numberArray(replaced.map(({ sequence }) => sequence)),
        ],
      );
      const free = new Set(gone.map(({ name }) => name));
      const database: Pick<Database, 'query'> = {
        query: ({ text }, values) => this.query(text, values),
      };
      await attemptRows(
        database,
        records.filter(({ value }) => {
          const name = attemptName(
            value.tenantId,
            value.messageId,
            value.generation,
            value.attempt,
          );
          return stale.get(name) === null || free.has(name);
        }),
      );
      await this.query('commit');
    } catch (thrown) {
      await this.client.query('rollback').catch(() => undefined);
      throw thrown;
    }
  }
}

/** tenant/message/generation/attempt. */
export const attemptName = (
  tenantId: string | null,
  messageId: string | null,
  generation: number | null,
  attempt: number | null,
): string => [tenantId, messageId, generation, attempt].join('/');

/** Breaks by class and currency, as the workers' daily run kept them; null: that day was not reconciled by them. */
export const keptReconciliation = async (
  database: Database,
  day: string,
): Promise<{
  readonly sums: readonly { readonly class: BreakClass; readonly breaks: number }[];
} | null> => {
  const [row] = await database.query<{
    sums: readonly { readonly class: BreakClass; readonly breaks: number }[];
  }>(
    {
      name: 'kept-reconciliation',
      text: `select report -> 'sums' as sums from reconciliations where day = $1`,
    },
    [day],
  );
  return row ?? null;
};
