import { DatabaseError } from 'pg';
import type { EpochMs } from '../../schemas/brand.js';
import { PipelineError } from '../../schemas/error.js';
import type { Coordinates } from '../../schemas/record.js';
import { numberArray, plainArray, textArray } from './array-literal.js';
import { dayOf, reservationDays } from './days.js';
import { postgresOwnReservations } from './own-reservations.js';
import { type PartitionOwnership, stillOwned } from './partition-ownership.js';
import type { Database } from './pool.js';

interface Candidate {
  readonly channel: string;
  readonly cashMicros: bigint;
}

/** As processors/budget-reserve/reservations.ts has it, with what each field means. */
interface Request {
  readonly tenantId: string;
  readonly businessLine: string;
  readonly messageId: string;
  readonly generation: number;
  readonly createdAt: EpochMs;
  readonly expiresAt?: EpochMs;
  readonly at: Coordinates;
  readonly cashMicros: bigint;
  readonly units: number;
  readonly currency: string;
  readonly unitsCap: number | null;
  readonly cashCapMicros: bigint | null;
  readonly candidates?: readonly Candidate[];
}

type Refused =
  | 'unknown_account'
  | 'account_closed'
  | 'currency'
  | 'budget_cash'
  | 'budget_pv'
  | 'quota'
  | 'recalling';

type Decision =
  | {
      readonly kind: 'reserved';
      readonly cashMicros: bigint;
      readonly units: number;
      readonly channels?: readonly string[];
    }
  | { readonly kind: 'duplicate' | 'idempotency_conflict'; readonly firstAt: Coordinates }
  | { readonly kind: Refused | 'too_old' };

interface Row {
  readonly place: number;
  readonly outcome: 'reserved' | 'duplicate' | 'idempotency_conflict' | Refused;
  readonly stored_cash: bigint;
  readonly stored_units: number;
  readonly first_topic: string;
  readonly first_partition: number;
  readonly first_offset: bigint;
  readonly stored_channels: readonly string[] | null;
}

const RESERVE = {
  name: 'reserve',
  text: `select * from reserve(${Array.from({ length: 21 }, (_, n) => `$${n + 1}`).join(', ')})`,
};

/** Places from 1 of distinct things, in order of first use. */
class Places<T> {
  readonly values: T[] = [];
  readonly #places = new Map<string, number>();

  of(name: string, value: T): number {
    const known = this.#places.get(name);
    if (known !== undefined) return known;
    this.values.push(value);
    this.#places.set(name, this.values.length);
    return this.values.length;
  }
}

const nameOf = (candidates: readonly Candidate[]): string => {
  let name = '';
  for (const { channel, cashMicros } of candidates) name += `${channel}\0${cashMicros}\0`;
  return name;
};

const same = (one: readonly Candidate[], other: readonly Candidate[]): boolean =>
  one.length === other.length &&
  one.every(({ channel, cashMicros }, index) => {
    const that = other[index];
    return that?.channel === channel && that.cashMicros === cashMicros;
  });

const parameters = (
  batch: readonly Request[],
  ownership: PartitionOwnership,
): readonly unknown[] => {
  const accounts = new Places<Request>();
  const sources = new Places<Coordinates>();
  const account: number[] = [];
  const source: number[] = [];
  const offers = new Places<readonly Candidate[]>();
  const offer: number[] = [];
  let last: { readonly candidates: readonly Candidate[]; readonly place: number } | null = null;
  for (const one of batch) {
    const { tenantId, businessLine, currency, at } = one;
    account.push(accounts.of(`${tenantId}\0${businessLine}\0${currency}`, one));
    source.push(sources.of(`${at.topic}\0${at.partition}`, at));
    const { candidates } = one;
    if (candidates === undefined) {
      offer.push(0);
      continue;
    }
    // Messages come in runs of one template: to compare is a third of what a name costs.
    if (last === null || !same(last.candidates, candidates))
      last = { candidates, place: offers.of(nameOf(candidates), candidates) };
    offer.push(last.place);
  }
  const offered = offers.values.flatMap((candidates, index) =>
    candidates.map((candidate) => ({ number: index + 1, ...candidate })),
  );
  return [
    textArray(accounts.values.map(({ tenantId }) => tenantId)),
    textArray(accounts.values.map(({ businessLine }) => businessLine)),
    textArray(accounts.values.map(({ currency }) => currency)),
    // In the order of their places.
    ...ownership.parameters(sources.values),
    numberArray(account),
    numberArray(source),
    numberArray(batch.map(({ at }) => at.offset)),
    plainArray(batch.map(({ messageId }) => messageId)),
    numberArray(batch.map(({ generation }) => generation)),
    plainArray(batch.map(({ createdAt }) => dayOf(createdAt))),
    numberArray(batch.map(({ expiresAt = null }) => expiresAt)),
    numberArray(batch.map(({ cashMicros }) => cashMicros)),
    numberArray(batch.map(({ units }) => units)),
    numberArray(batch.map(({ cashCapMicros }) => cashCapMicros)),
    numberArray(batch.map(({ unitsCap }) => unitsCap)),
    numberArray(offer),
    numberArray(offered.map(({ number }) => number)),
    textArray(offered.map(({ channel }) => channel)),
    numberArray(offered.map(({ cashMicros }) => cashMicros)),
  ];
};

const decisionOf = (row: Row): Decision => {
  switch (row.outcome) {
    case 'reserved':
      return {
        kind: 'reserved',
        cashMicros: row.stored_cash,
        units: row.stored_units,
        ...(row.stored_channels !== null && { channels: row.stored_channels }),
      };
    case 'duplicate':
    case 'idempotency_conflict':
      return {
        kind: row.outcome,
        firstAt: {
          topic: row.first_topic,
          partition: row.first_partition,
          offset: Number(row.first_offset),
        },
      };
    case 'unknown_account':
    case 'account_closed':
    case 'currency':
    case 'budget_cash':
    case 'budget_pv':
    case 'quota':
    case 'recalling':
      return { kind: row.outcome };
  }
};

/**
 * Rounds in which no message occurs twice: the function takes each once. One round, but where Redis is away or one
 * message id came under two idempotency keys.
 */
const rounds = (batch: readonly Request[]): number[][] => {
  const seen = new Map<string, number>();
  const result: number[][] = [];
  for (const [index, { tenantId, messageId, generation }] of batch.entries()) {
    const name = `${tenantId}\0${messageId}\0${generation}`;
    const round = seen.get(name) ?? 0;
    seen.set(name, round + 1);
    (result[round] ??= []).push(index);
  }
  return result;
};

/** No partition for a row: its day was detached since we looked. */
const CHECK_VIOLATION = '23514';

const dayIsGone = (error: unknown): boolean =>
  error instanceof PipelineError &&
  error.cause instanceof DatabaseError &&
  error.cause.code === CHECK_VIOLATION &&
  error.cause.constraint === undefined;

/** Direct mode of the ledger: one call of reserve() a batch, a row a message. */
export const postgresReservations = (database: Database, ownership: PartitionOwnership) => {
  const days = reservationDays(database);

  const ask = async (asked: readonly Request[]): Promise<readonly Decision[]> => {
    const decisions: Decision[] = asked.map(({ cashMicros, units }) => ({
      kind: 'reserved',
      cashMicros,
      units,
    }));
    // Only what differs from "reserved as asked" comes back.
    const rows = await database.query<Row>(RESERVE, parameters(asked, ownership));
    for (const row of stillOwned(rows)) decisions[row.place - 1] = decisionOf(row);
    return decisions;
  };

  const reserve = async (batch: readonly Request[]): Promise<readonly Decision[]> => {
    const closed = await days.closed(new Set(batch.map(({ createdAt }) => dayOf(createdAt))));
    const decisions: Decision[] = batch.map(() => ({ kind: 'too_old' }));
    for (const round of rounds(batch)) {
      const open = round.flatMap((index) => {
        const request = batch[index];
        return request === undefined || closed.has(dayOf(request.createdAt))
          ? []
          : [{ index, request }];
      });
      if (open.length === 0) continue;
      const answers = await ask(open.map(({ request }) => request));
      for (const [place, answer] of answers.entries()) {
        const index = open[place]?.index;
        if (index !== undefined) decisions[index] = answer;
      }
    }
    return decisions;
  };

  return {
    ...postgresOwnReservations(database),
    takeOver: ownership.takeOver,

    async reserve(batch: readonly Request[]): Promise<readonly Decision[]> {
      try {
        return await reserve(batch);
      } catch (error) {
        if (!dayIsGone(error)) throw error;
        days.forget();
        // All rounds are repeated: what is stored answers again.
        return await reserve(batch);
      }
    },
  };
};

/** Leases are on their way back for so long, mostly: workers look every second, and settle is a moment behind. */
const RECALL_MS = 5_000;
const RECALL_LOOK_MS = 250;

/** Asks again for a while about what may be paid for once leases of its account are back; what is left is 'recalling'. */
export const waitingForLeases = <
  R extends Pick<ReturnType<typeof postgresReservations>, 'reserve'>,
>(
  reservations: R,
): R => ({
  ...reservations,
  async reserve(batch: readonly Request[]): Promise<readonly Decision[]> {
    const decisions = [...(await reservations.reserve(batch))];
    const end = Date.now() + RECALL_MS;
    for (;;) {
      const waiting = batch.flatMap((request, index) =>
        decisions[index]?.kind === 'recalling' ? [{ request, index }] : [],
      );
      if (waiting.length === 0 || Date.now() > end) return decisions;
      await new Promise((resolve) => setTimeout(resolve, RECALL_LOOK_MS));
      const answers = await reservations.reserve(waiting.map(({ request }) => request));
      for (const [place, { index }] of waiting.entries()) {
        const answer = answers[place];
        if (answer !== undefined) decisions[index] = answer;
      }
    }
  },
});
