import { PipelineError } from '../../schemas/error.js';
import { textArray } from './array-literal.js';
import type { Database } from './pool.js';
import { sqlQuery } from './sql-files.js';

/** Tenant and business line: whose budget. */
export interface AccountName {
  readonly tenantId: string;
  readonly businessLine: string;
}

/** Of every change of a budget. The id, made by who asks, makes it once, however often it is asked for. */
interface Change {
  readonly transferId: string;
  /** user@host; empty: nobody in particular. */
  readonly actor?: string;
  /** Why. No part of what is compared where an id comes again. */
  readonly note?: string;
}

interface Amounts {
  /** ISO 4217; null: not named, of PV alone. */
  readonly currency: string | null;
  /** Micros of the currency. */
  readonly cashMicros: bigint;
  /** PV. */
  readonly units: bigint;
}

/** A recharge of an account. */
export interface Grant extends Change, Amounts, AccountName {}

/** From one account to another of the same tenant and currency: cash and PV, both or neither. */
export interface Transfer extends Change, Amounts {
  readonly from: AccountName;
  readonly to: AccountName;
}

/** From now on nothing new is reserved and nothing taken in; what is pending is settled as ever. */
export interface Close extends Change, AccountName {}

/** Why nothing was booked. `budget_cash`, `budget_pv`: less is available than is to be moved. */
export type BookingRefusal =
  | 'zero_amount'
  | 'negative_amount'
  /** An amount or a sum beyond 2^63 - 1. */
  | 'overflow'
  | 'unknown_account'
  | 'account_closed'
  | 'same_account'
  | 'other_tenant'
  | 'currency'
  | 'budget_cash'
  | 'budget_pv'
  /** The id was used with other content. */
  | 'idempotency_conflict';

export interface Left {
  readonly cashMicros: bigint;
  readonly units: bigint;
}

/** What is available in the account (that gains, or was closed) and in the one that gives. */
interface BothLeft {
  readonly left: Left | null;
  readonly fromLeft: Left | null;
}

export type Booking =
  /** repeated: it was booked before, then and with what was left then. */
  | ({ readonly kind: 'booked' | 'repeated'; readonly bookedAt: Date } & BothLeft)
  /** With what is available now; null: no such account. */
  | ({ readonly kind: BookingRefusal } & BothLeft);

/** A line of the journal. */
export interface BookedTransfer extends BothLeft {
  readonly transferId: string;
  readonly kind: 'grant' | 'transfer' | 'close';
  readonly tenantId: string;
  readonly businessLine: string;
  /** Business line that gave; null: no transfer. */
  readonly fromLine: string | null;
  readonly currency: string;
  readonly cashMicros: bigint;
  readonly units: bigint;
  readonly actor: string;
  readonly note: string;
  readonly bookedAt: Date;
}

interface LeftRow {
  readonly cash_left: bigint | null;
  readonly units_left: bigint | null;
  readonly from_cash_left: bigint | null;
  readonly from_units_left: bigint | null;
}

interface BookingRow extends LeftRow {
  readonly outcome: Booking['kind'];
  readonly booked_at: Date;
}

interface JournalRow extends LeftRow {
  readonly transfer_id: string;
  readonly kind: BookedTransfer['kind'];
  readonly tenant_id: string;
  readonly business_line: string;
  readonly from_line: string | null;
  readonly currency: string;
  readonly cash: bigint;
  readonly units: bigint;
  readonly actor: string;
  readonly note: string;
  readonly created_at: Date;
}

const OPEN = { name: 'open-account', text: 'select open_account($1, $2, $3) as outcome' };
const BOOK = {
  name: 'book-transfer',
  text: 'select * from book_transfer($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)',
};

const MOST = 2n ** 63n - 1n;

const leftOf = (cash: bigint | null, units: bigint | null): Left | null =>
  cash === null || units === null ? null : { cashMicros: cash, units };

const bothLeft = (row: LeftRow): BothLeft => ({
  left: leftOf(row.cash_left, row.units_left),
  fromLeft: leftOf(row.from_cash_left, row.from_units_left),
});

/** The journal of what changes budgets other than by messages. All throw PipelineError postgres_*. */
export const postgresTransfers = (database: Database) => {
  const book = async (
    kind: BookedTransfer['kind'],
    to: AccountName,
    from: AccountName | null,
    { transferId, currency, cashMicros, units, actor = '', note = '' }: Change & Amounts,
    apply: boolean,
  ): Promise<Booking> => {
    // What bigint cannot hold never reaches Postgres, which would call it by a number.
    if (cashMicros > MOST || units > MOST) return { kind: 'overflow', left: null, fromLeft: null };
    if (cashMicros < -MOST || units < -MOST)
      return { kind: 'negative_amount', left: null, fromLeft: null };
    const [row] = await database.query<BookingRow>(BOOK, [
      transferId,
      kind,
      to.tenantId,
      to.businessLine,
      from?.tenantId ?? null,
      from?.businessLine ?? null,
      currency,
      cashMicros,
      units,
      actor,
      note,
      apply,
    ]);
    if (row === undefined) throw new PipelineError('defect', 'book_transfer() answers one row');
    const { outcome } = row;
    return outcome === 'booked' || outcome === 'repeated'
      ? { kind: outcome, bookedAt: row.booked_at, ...bothLeft(row) }
      : { kind: outcome, ...bothLeft(row) };
  };

  return {
    /** An account with nothing in it. `there`: it was there before; `currency`: and is kept in another one. */
    async openAccount(
      { tenantId, businessLine }: AccountName,
      currency: string,
    ): Promise<'opened' | 'there' | 'currency'> {
      const values = [tenantId, businessLine, currency];
      const [row] = await database.query<{ outcome: 'opened' | 'there' | 'currency' }>(
        OPEN,
        values,
      );
      return row?.outcome ?? 'there';
    },

    /** apply false, here and below: answers what would come of it, and books nothing. */
    grant: (grant: Grant, apply = true): Promise<Booking> =>
      book('grant', grant, null, grant, apply),

    transfer: (transfer: Transfer, apply = true): Promise<Booking> =>
      book('transfer', transfer.to, transfer.from, transfer, apply),

    close: (close: Close, apply = true): Promise<Booking> =>
      book('close', close, null, { ...close, currency: null, cashMicros: 0n, units: 0n }, apply),

    /** Which of these transfers are booked. */
    async booked(transferIds: readonly string[]): Promise<ReadonlySet<string>> {
      const values = [textArray(transferIds)];
      const rows = await database.query<{ transfer_id: string }>(
        sqlQuery('transfers-by-id'),
        values,
      );
      return new Set(rows.map(({ transfer_id: id }) => id));
    },

    /** What was booked on an account, newest first. */
    async history(
      { tenantId, businessLine }: AccountName,
      atMost: number,
    ): Promise<readonly BookedTransfer[]> {
      const values = [tenantId, businessLine, atMost];
      const rows = await database.query<JournalRow>(sqlQuery('transfers-of-account'), values);
      return rows.map((row) => ({
        transferId: row.transfer_id,
        kind: row.kind,
        tenantId: row.tenant_id,
        businessLine: row.business_line,
        fromLine: row.from_line,
        currency: row.currency,
        cashMicros: row.cash,
        units: row.units,
        actor: row.actor,
        note: row.note,
        bookedAt: row.created_at,
        ...bothLeft(row),
      }));
    },
  };
};

export type PostgresTransfers = ReturnType<typeof postgresTransfers>;
