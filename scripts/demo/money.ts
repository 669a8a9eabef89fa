import type { Settlement } from '../../schemas/generated/records.js';
import type { Counters } from '../../sinks/postgres/counters.js';
import type { Decoded } from '../read/decoded.js';

/** Sums by account, tenant/businessLine. */
export interface Booked {
  readonly cashMicros: bigint;
  readonly units: bigint;
}

/** What an account of the ledger shows. */
export interface AccountCounters {
  readonly tenantId: string;
  readonly businessLine: string;
  readonly cash: Counters;
  readonly pv: Counters;
}

/** What events say should have been booked: posts less reversals, added up from `feedback` and `refused`. */
export class Bookings {
  readonly #posted = new Map<string, Booked>();

  observe({ decoded }: Decoded): void {
    if (decoded.is !== 'DeliveryFeedback' && decoded.is !== 'MessageRefused') return;
    const { tenantId, businessLine, settlement } = decoded.value;
    const sign = signOf(settlement);
    if (sign === 0n) return;
    const account = `${tenantId ?? ''}/${businessLine ?? ''}`;
    const before = this.#posted.get(account) ?? { cashMicros: 0n, units: 0n };
    this.#posted.set(account, {
      cashMicros: before.cashMicros + sign * settlement.cashMicros,
      units: before.units + sign * BigInt(settlement.units),
    });
  }

  /** Accounts that were debited more than events say. */
  overdrawn(accounts: readonly AccountCounters[]): readonly string[] {
    return accounts.flatMap(({ tenantId, businessLine, cash, pv }) => {
      const account = `${tenantId}/${businessLine}`;
      const wanted = this.#posted.get(account) ?? { cashMicros: 0n, units: 0n };
      return cash.posted > wanted.cashMicros || pv.posted > wanted.units ? [account] : [];
    });
  }

  /** Accounts whose ledger does not show what the events say, or does not add up; in words. */
  disagreements(accounts: readonly AccountCounters[]): readonly string[] {
    return accounts.flatMap(({ tenantId, businessLine, cash, pv }) => {
      const account = `${tenantId}/${businessLine}`;
      const wanted = this.#posted.get(account) ?? { cashMicros: 0n, units: 0n };
      return [
        ...(cash.posted === wanted.cashMicros
          ? []
          : [`${account}: ${cash.posted} micros posted, events say ${wanted.cashMicros}`]),
        ...(pv.posted === wanted.units
          ? []
          : [`${account}: ${pv.posted} PV posted, events say ${wanted.units}`]),
        ...(balanced(cash) && balanced(pv) ? [] : [`${account}: its counters do not add up`]),
      ];
    });
  }
}

const signOf = ({ kind }: Settlement): bigint => {
  switch (kind) {
    case 'post':
      return 1n;
    case 'reverse':
      return -1n;
    case 'none':
    case 'void':
      return 0n;
  }
};

const balanced = ({ granted, available, pending, posted }: Counters): boolean =>
  granted === available + pending + posted &&
  [available, pending, posted].every((part) => part >= 0n);
