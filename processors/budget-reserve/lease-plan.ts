import type { EpochMs, Micros, TenantId } from '../../schemas/brand.js';
import type { Partition } from '../processor.js';
import {
  type LeaseAnswer,
  type LeaseAsk,
  type LeaseGrant,
  type LeaseState,
  NO_LEASE,
  type Leases,
  wanted,
} from './leases.js';

/** A message that a lease may pay for. */
export interface Payable {
  readonly source: Partition;
  readonly tenantId: TenantId;
  readonly businessLine: string;
  readonly currency: string;
  readonly cashMicros: Micros;
  readonly units: number;
  /** Its account is being recalled, or closed: no lease is to pay. */
  readonly recalled: boolean;
  /** As the source partition has it. */
  readonly state: LeaseState | undefined;
}

export type LeasePlan =
  /** grant: to be counted in first, unless it is. */
  | { readonly kind: 'leased'; readonly grant: LeaseGrant | null }
  /** turns: the account gave no lease, so the next seconds' messages need not ask. */
  | { readonly kind: 'direct'; readonly turns: boolean };

/** What is left of a partition's lease while a batch is planned. */
interface Purse {
  readonly of: Payable;
  readonly state: LeaseState;
  cash: Micros;
  units: number;
  grant: LeaseGrant | null;
  readonly short: number[];
  /** Paid for by what was left. */
  readonly paid: number[];
}

/**
 * Which messages a lease pays for: first what is left, in order, then one grant per partition and account for all that
 * does not fit; one call. Nothing is written: whoever decides spends it, in the same order.
 * @throws PipelineError as Leases.grant
 */
export const planLeases = async (
  batch: readonly Payable[],
  leases: Pick<Leases, 'grant'>,
  now: EpochMs,
): Promise<readonly LeasePlan[]> => {
  const plans: LeasePlan[] = batch.map(() => ({ kind: 'direct', turns: false }));
  const purses = new Map<string, Purse>();
  for (const [place, one] of batch.entries()) {
    const purse = purseOf(purses, one);
    if (one.recalled) continue;
    if (spends(purse, one)) {
      plans[place] = { kind: 'leased', grant: null };
      purse.paid.push(place);
    } else if (purse.state.returning === null && purse.state.directUntil <= now)
      purse.short.push(place);
  }
  const asking = [...purses.values()].filter(({ short }) => short.length > 0);
  if (asking.length === 0) return plans;
  const answers = await leases.grant(asking.map((purse) => askOf(purse, batch, now)));
  for (const [nth, purse] of asking.entries()) {
    const answer: LeaseAnswer = answers[nth] ?? { kind: 'direct' };
    if (answer.kind === 'granted') {
      // Another lease than the state's: what is left of that one does not count (withGrant).
      const kept = purse.state.lease === answer.lease || purse.state.lease === null;
      purse.cash = answer.cashMicros + (kept ? purse.cash : 0n);
      purse.units = answer.units + (kept ? purse.units : 0);
      purse.grant = answer;
      // They are the new lease's to pay for, too.
      if (!kept) purse.short.unshift(...purse.paid);
    }
    for (const place of purse.short) {
      const one = batch[place];
      if (one === undefined) continue;
      plans[place] =
        purse.grant !== null && spends(purse, one)
          ? { kind: 'leased', grant: purse.grant }
          : { kind: 'direct', turns: answer.kind === 'direct' };
    }
  }
  return plans;
};

const purseOf = (purses: Map<string, Purse>, of: Payable): Purse => {
  const { source, tenantId, businessLine } = of;
  const name = `${source.topic}\0${String(source.partition)}\0${tenantId}\0${businessLine}`;
  const known = purses.get(name);
  if (known !== undefined) return known;
  const state = of.state ?? NO_LEASE;
  const { cashMicros: cash, units } = state;
  const purse: Purse = { of, state, cash, units, grant: null, short: [], paid: [] };
  purses.set(name, purse);
  return purse;
};

const spends = (purse: Purse, { cashMicros, units }: Payable): boolean => {
  if (purse.state.lease === null && purse.grant === null) return false;
  if (cashMicros > purse.cash || units > purse.units) return false;
  purse.cash -= cashMicros;
  purse.units -= units;
  return true;
};

const askOf = ({ of, state, short }: Purse, batch: readonly Payable[], now: EpochMs): LeaseAsk => {
  const { source, tenantId, businessLine, currency } = of;
  let cashMicros = 0n;
  let units = 0;
  for (const place of short) {
    cashMicros += batch[place]?.cashMicros ?? 0n;
    units += batch[place]?.units ?? 0;
  }
  const want = wanted(state, { cashMicros, units }, now);
  return {
    ...source,
    tenantId,
    businessLine,
    lease: state.lease,
    currency,
    grantNo: state.grantNo + 1,
    spends: state.spends,
    needCash: cashMicros,
    needUnits: units,
    wantCash: want.cashMicros,
    wantUnits: want.units,
  };
};
