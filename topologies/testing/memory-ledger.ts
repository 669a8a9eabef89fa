import type {
  ReservationDecision,
  ReservationRequest,
  Reservations,
} from '../../processors/budget-reserve/reservations.js';
import type { OwnReservations } from '../../processors/dedupe/own-reservations.js';
import { type Settled, postingOf } from '../../processors/settle/postings.js';
import type { Posting } from '../../processors/settle/settlements.js';
import { type TenantConfig, microsOf } from '../../schemas/config.js';
import type { Coordinates } from '../../schemas/record.js';

interface Budget {
  granted: bigint;
  available: bigint;
  pending: bigint;
  posted: bigint;
}
interface Account {
  readonly currency: string;
  readonly cash: Budget;
  readonly units: Budget;
}
interface Row {
  /** tenant|messageId|generation */
  readonly name: string;
  readonly account: Account;
  readonly at: Coordinates;
  readonly fingerprint: string;
  readonly cash: bigint;
  readonly units: bigint;
  state: 'pending' | 'posted' | 'voided' | 'reversed';
  renewable: boolean;
  postedCash: bigint;
  postedUnits: bigint;
}

/** The ledger of direct mode, exact and in memory: what Postgres' reserve and settle do, one message at a time. */
export class MemoryLedger implements Reservations, OwnReservations {
  private readonly accounts = new Map<string, Account>();
  private readonly rows = new Map<string, Row>();

  constructor(tenants: readonly TenantConfig[]) {
    for (const { id, businessLines } of tenants) {
      for (const { name, currency, initialCash, initialUnits } of businessLines)
        this.accounts.set(`${id}/${name}`, {
          currency,
          cash: budget(microsOf(initialCash)),
          units: budget(BigInt(initialUnits)),
        });
    }
  }

  /** One owner, who is never forgotten: the simulation has more (simulation/stores.ts). */
  readonly takeOver: Reservations['takeOver'] = () => Promise.resolve();

  readonly reserve: Reservations['reserve'] = (batch) =>
    Promise.resolve(batch.map((one) => this.reserveOne(one)));

  readonly reservedBy: OwnReservations['reservedBy'] = (records) =>
    Promise.resolve(
      records.map(({ at, ...named }) => {
        const row = this.rows.get(keyOf(named));
        return row !== undefined && same(row.at, at);
      }),
    );

  /** As settle does with what lies on feedback and refused. */
  settle(events: readonly Settled[]): void {
    for (const event of events) {
      const posting = 'spends' in event ? null : postingOf(event);
      if (posting !== null) this.apply(posting);
    }
  }

  /** More money, by `millrace budget grant`. */
  grant(account: string, micros: bigint): void {
    const { cash } = this.account(account);
    cash.granted += micros;
    cash.available += micros;
  }

  account(name: string): Account {
    const found = this.accounts.get(name);
    if (found === undefined) throw new Error(`no account ${name}`);
    return found;
  }

  /** Accounts whose books do not add up, by name: granted = available + pending + posted, each at least 0. */
  get unbalanced(): string[] {
    return [...this.accounts]
      .filter(([, { cash, units }]) => [cash, units].some((one) => !balances(one)))
      .map(([name]) => name);
  }

  /** tenant|messageId|generation of what is reserved and not resolved. */
  get pending(): string[] {
    return [...this.rows.values()]
      .filter(({ state }) => state === 'pending')
      .map(({ name }) => name);
  }

  /** Of this message and generation; undefined: nothing was ever reserved. */
  stateOf(tenantId: string, messageId: string, generation: number): Row['state'] | undefined {
    return this.rows.get(`${tenantId}|${messageId}|${generation.toString()}`)?.state;
  }

  /** As where the day of all messages was detached. */
  forgetRows(): void {
    this.rows.clear();
  }

  private reserveOne(asked: ReservationRequest): ReservationDecision {
    const { tenantId, businessLine, at } = asked;
    const key = keyOf(asked);
    const fingerprint = `${businessLine}|${String(asked.unitsCap)}|${String(asked.cashCapMicros)}`;
    const row = this.rows.get(key);
    if (row !== undefined && !(row.state === 'voided' && row.renewable)) {
      if (same(row.at, at))
        return { kind: 'reserved', cashMicros: row.cash, units: Number(row.units) };
      const kind = row.fingerprint === fingerprint ? 'duplicate' : 'idempotency_conflict';
      return { kind, firstAt: row.at };
    }
    const account = this.accounts.get(`${tenantId}/${businessLine}`);
    if (account === undefined) return { kind: 'unknown_account' };
    if (account.currency !== asked.currency) return { kind: 'currency' };
    const [cash, units] = [asked.cashMicros, BigInt(asked.units)];
    if (account.cash.available < cash) return { kind: 'budget_cash' };
    if (account.units.available < units) return { kind: 'budget_pv' };
    move(account.cash, 'available', 'pending', cash);
    move(account.units, 'available', 'pending', units);
    this.rows.set(key, {
      name: nameOf(asked),
      account,
      at,
      fingerprint,
      cash,
      units,
      state: 'pending',
      renewable: false,
      postedCash: 0n,
      postedUnits: 0n,
    });
    return { kind: 'reserved', cashMicros: cash, units: asked.units };
  }

  private apply(posting: Posting): void {
    const row = this.rows.get(keyOf(posting));
    if (row === undefined) return;
    const { account } = row;
    switch (posting.kind) {
      case 'post':
        if (row.state !== 'pending') return;
        row.postedCash = least(posting.cashMicros, row.cash);
        row.postedUnits = least(BigInt(posting.units), row.units);
        resolve(account.cash, row.cash, row.postedCash);
        resolve(account.units, row.units, row.postedUnits);
        row.state = 'posted';
        return;
      case 'void':
        if (row.state !== 'pending') return;
        resolve(account.cash, row.cash, 0n);
        resolve(account.units, row.units, 0n);
        row.state = 'voided';
        row.renewable = posting.renewable;
        return;
      case 'reverse':
        if (row.state !== 'posted') return;
        move(account.cash, 'posted', 'available', least(posting.cashMicros, row.postedCash));
        move(account.units, 'posted', 'available', least(BigInt(posting.units), row.postedUnits));
        row.state = 'reversed';
    }
  }
}

type Named = Pick<Posting, 'tenantId' | 'messageId' | 'generation' | 'createdAt'>;
const nameOf = ({ tenantId, messageId, generation }: Named): string =>
  `${tenantId}|${messageId}|${generation.toString()}`;
/** Reservations are unique per day of createdAt only, as Postgres' partitions are. */
const keyOf = (named: Named): string =>
  `${nameOf(named)}|${new Date(named.createdAt).toISOString().slice(0, 10)}`;

const budget = (granted: bigint): Budget => ({
  granted,
  available: granted,
  pending: 0n,
  posted: 0n,
});
const balances = ({ granted, available, pending, posted }: Budget): boolean =>
  granted === available + pending + posted && available >= 0n && pending >= 0n && posted >= 0n;
const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);
const same = (a: Coordinates, b: Coordinates): boolean =>
  a.topic === b.topic && a.partition === b.partition && a.offset === b.offset;

type Pot = 'available' | 'pending' | 'posted';
const move = (of: Budget, from: Pot, to: Pot, amount: bigint): void => {
  of[from] -= amount;
  of[to] += amount;
};
const resolve = (of: Budget, reserved: bigint, posted: bigint): void => {
  move(of, 'pending', 'available', reserved);
  move(of, 'available', 'posted', posted);
};
