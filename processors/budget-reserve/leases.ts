import type { EpochMs, Micros, TenantId } from '../../schemas/brand.js';
import type { Partition } from '../processor.js';
import type { Spend } from './spend.js';

/** A partition and the account that it spends of. */
export interface LeaseHolder extends Partition {
  readonly tenantId: TenantId;
  readonly businessLine: string;
  /** The lease's number in the ledger; null: this partition has none yet. */
  readonly lease: number | null;
}

export interface LeaseAsk extends LeaseHolder {
  readonly currency: string;
  /** Which grant of the lease, from 1: asked again, the ledger answers what it gave. */
  readonly grantNo: number;
  /** Number of the newest spend: a ledger that knows of later ones knows that the state was set back. */
  readonly spends: number;
  /** At least this, or nothing. */
  readonly needCash: Micros;
  readonly needUnits: number;
  /** Rather this; the ledger gives less where the account is nearly empty. */
  readonly wantCash: Micros;
  readonly wantUnits: number;
}

export interface LeaseGrant {
  readonly lease: number;
  readonly grantNo: number;
  readonly cashMicros: Micros;
  readonly units: number;
}

export type LeaseAnswer =
  | ({ readonly kind: 'granted' } & LeaseGrant)
  /** Nearly empty, closed, being recalled, unknown or of another currency: reserve() decides message by message. */
  | { readonly kind: 'direct' };

/** What a partition has given up of its lease. */
export interface LeaseReturn extends LeaseHolder {
  /** From 1; each is booked once. */
  readonly returnNo: number;
  readonly cashMicros: Micros;
  readonly units: number;
  /** This grant is given up with it: whether it was made is not known. */
  readonly grantNo: number;
}

/** The ledger's leased mode. All throw PipelineError postgres_unavailable (retry) | postgres_refused (stop). */
export interface Leases {
  /** False: each message is asked about, for now (Redis cannot tell all duplicates of other partitions). */
  readonly usable: () => boolean;
  /** In order. Postgres first: it remembers, until the grant is in the partition's state. @throws also ownership_lost */
  readonly grant: (asks: readonly LeaseAsk[]) => Promise<readonly LeaseAnswer[]>;
  /** Once it is given up in the partition's state; may be said again. */
  readonly giveBack: (returns: readonly LeaseReturn[]) => Promise<void>;
}

/** What a partition may spend of an account: its state, in the transactions that spend of it. */
export interface LeaseState {
  readonly lease: number | null;
  /** The newest grant that is counted in, or was given up. */
  readonly grantNo: number;
  readonly returnNo: number;
  /** Number of the newest spend. */
  readonly spends: number;
  /** Unspent. */
  readonly cashMicros: Micros;
  readonly units: number;
  /** Of the newest grant: what the next one is sized by. */
  readonly granted: { readonly cashMicros: Micros; readonly units: number; readonly at: EpochMs };
  readonly spentAt: EpochMs;
  /** Until then no lease is asked for. */
  readonly directUntil: EpochMs;
  /** Given up, and not known to be booked yet. */
  readonly returning: {
    readonly cashMicros: Micros;
    readonly units: number;
    readonly saidAt: EpochMs;
  } | null;
  readonly returnedAt: EpochMs;
  /** Spent in the transaction at hand, newest first; null once it is written. */
  readonly unsaid: Unsaid | null;
}

/** Spends, as a list: one more is one object, however many there are. */
export interface Unsaid {
  readonly spend: Spend;
  readonly before: Unsaid | null;
}

export const NO_LEASE: LeaseState = {
  lease: null,
  grantNo: 0,
  returnNo: 0,
  spends: 0,
  cashMicros: 0n,
  units: 0,
  granted: { cashMicros: 0n, units: 0, at: 0 },
  spentAt: 0,
  directUntil: 0,
  returning: null,
  returnedAt: 0,
  unsaid: null,
};

/** An account that gave no lease is asked message by message for so long. */
export const DIRECT_MS = 5_000;
/** What is not spent of for so long goes back. */
export const IDLE_MS = 10_000;
/** A return that is not answered is said again. */
export const SAY_AGAIN_MS = 5_000;
/** While an account recalls its leases, each partition says so often that it has none. */
export const RECALL_EVERY_MS = 10_000;
/** A lease that lasts shorter grows, one that lasts far longer shrinks. */
const SHOULD_LAST_MS = 5_000;
/** The first one, in what is needed at once. */
const FIRST = 4;

/** The state with this grant in it; a grant that is in it already changes nothing. */
export const withGrant = (state: LeaseState, grant: LeaseGrant, now: EpochMs): LeaseState => {
  const { lease, grantNo, cashMicros, units } = grant;
  // Another lease: the ledger knew more of the old one than this state does, and left it to a person.
  const left =
    state.lease === lease || state.lease === null ? state : { ...state, cashMicros: 0n, units: 0 };
  if (grantNo <= left.grantNo) return left;
  return {
    ...left,
    lease,
    grantNo,
    cashMicros: left.cashMicros + cashMicros,
    units: left.units + units,
    granted: { cashMicros, units, at: now },
    spentAt: now,
    directUntil: 0,
  };
};

/** How much to ask for: what is needed, or as much as would last some seconds. */
export const wanted = (
  { granted }: LeaseState,
  need: { readonly cashMicros: Micros; readonly units: number },
  now: EpochMs,
): { readonly cashMicros: Micros; readonly units: number } => {
  const lasted = now - granted.at;
  const sized = (before: bigint): bigint => {
    if (lasted < SHOULD_LAST_MS) return before * 2n;
    return lasted > 4 * SHOULD_LAST_MS ? before / 2n : before;
  };
  const most = (a: bigint, b: bigint): bigint => (a > b ? a : b);
  return {
    cashMicros: most(need.cashMicros * BigInt(FIRST), sized(granted.cashMicros)),
    units: Number(most(BigInt(need.units * FIRST), sized(BigInt(granted.units)))),
  };
};

/** The state after it has given all up, and what the ledger is told. */
export const givenUp = (state: LeaseState, holder: Omit<LeaseHolder, 'lease'>, now: EpochMs) => {
  const { cashMicros, units } = state;
  const next: LeaseState = {
    ...state,
    grantNo: state.grantNo + 1,
    returnNo: state.returnNo + 1,
    cashMicros: 0n,
    units: 0,
    returning: { cashMicros, units, saidAt: now },
    returnedAt: now,
  };
  return { state: next, call: returnOf(next, holder) };
};

/** What the ledger is told of what was given up. */
export const returnOf = (
  { lease, grantNo, returnNo, returning }: LeaseState,
  holder: Omit<LeaseHolder, 'lease'>,
): LeaseReturn => ({
  ...holder,
  lease,
  returnNo,
  grantNo,
  cashMicros: returning?.cashMicros ?? 0n,
  units: returning?.units ?? 0,
});
