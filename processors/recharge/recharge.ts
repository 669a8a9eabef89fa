import type { EpochMs } from '../../schemas/brand.js';
import type { RechargeConfig, RechargeRule, ReviewVerdict } from '../../schemas/config.js';
import { microsOf } from '../../schemas/config.js';
import { asError } from '../../schemas/error.js';
import {
  type ReviewCondition,
  type RuleCondition,
  reviewCondition,
  ruleCondition,
} from '../../schemas/recharge-conditions.js';
import { type LocalTime, localTime } from './local-time.js';

/** One budget as conditions see it: micros or PV; share as in recharge-conditions.ts. */
export interface BudgetSeen {
  readonly share: number;
  readonly granted: bigint;
  readonly available: bigint;
  readonly pending: bigint;
  readonly posted: bigint;
  readonly perHour: bigint;
}

export interface AccountSeen {
  readonly accountId: number;
  readonly tenantId: string;
  readonly businessLine: string;
  readonly cash: BudgetSeen;
  readonly pv: BudgetSeen;
  /** Number of its newest proposal, of whatever rule; 0: none. */
  readonly seq: number;
}

/** What a rule proposed before: within the last day, or as long ago as a cool-down can be. */
export interface PastRecharge {
  readonly accountId: number;
  readonly rule: string;
  readonly cashMicros: bigint;
  readonly units: bigint;
  readonly proposedAt: EpochMs;
  /** undecided: nobody has answered, or it is not booked yet; gone: rejected, or refused by the ledger. */
  readonly state: 'undecided' | 'booked' | 'gone';
}

/** What becomes of a proposal at once. review: the automatic reviewer is asked. */
export type FirstDecision =
  | { readonly state: 'approved' | 'rejected'; readonly by: string; readonly reason: string }
  | { readonly state: 'person'; readonly because: string }
  | { readonly state: 'review' };

export interface Proposal {
  /** Also the transfer's that books it. */
  readonly rechargeId: string;
  readonly accountId: number;
  readonly seq: number;
  readonly rule: string;
  readonly cashMicros: bigint;
  readonly units: bigint;
  /** Of the cash; null: PV alone. */
  readonly currency: string | null;
  /** The condition, and what it saw. */
  readonly seen: Readonly<Record<string, unknown>>;
  readonly decision: FirstDecision;
}

/** A rule whose condition held and that may not recharge now; failing: its condition has no answer. */
export interface HeldBack {
  readonly rule: string;
  readonly account: string;
  readonly why: 'undecided' | 'cool_down' | 'daily_cap' | 'failing';
  readonly detail: string;
}

export interface Proposed {
  readonly proposals: readonly Proposal[];
  readonly heldBack: readonly HeldBack[];
}

/** Ids that are the rules' own: nobody else's transfer may begin so. */
export const RECHARGE_PREFIX = 'recharge/';

interface Seen {
  readonly tenant: string;
  readonly businessLine: string;
  readonly cash: BudgetSeen;
  readonly pv: BudgetSeen;
  readonly hour: number;
  readonly weekday: number;
}

interface CompiledRule extends RechargeRule {
  readonly condition: RuleCondition;
  readonly zone: string;
}

interface CompiledReview {
  readonly name: string;
  readonly verdict: ReviewVerdict;
  readonly condition: ReviewCondition;
}

/**
 * What the rules propose for these accounts: at most one recharge an account, of the first rule that holds and may. The
 * number of a proposal follows the one that the account's state was read with: whoever decides on an older state
 * proposes a number that is taken, and so a state is recharged once.
 */
export type Recharges = (
  now: EpochMs,
  accounts: readonly AccountSeen[],
  past: readonly PastRecharge[],
) => Proposed;

/** @throws PipelineError config_invalid: a condition does not compile */
export const recharges = (config: RechargeConfig): Recharges => {
  const rules = config.rules.map((rule): CompiledRule => ({
    ...rule,
    condition: ruleCondition(rule.when),
    zone: rule.timeZone ?? config.timeZone,
  }));
  const reviews = config.review.rules.map(({ name, verdict, when }): CompiledReview => ({
    name,
    verdict,
    condition: reviewCondition(when),
  }));
  const isReviewedOverHttp = config.review.http !== undefined;
  return (now, accounts, past) => {
    const proposals: Proposal[] = [];
    const heldBack: HeldBack[] = [];
    for (const account of accounts) {
      for (const rule of rules) {
        if (!applies(rule, account)) continue;
        const name = `${account.tenantId}/${account.businessLine}`;
        const held = (why: HeldBack['why'], detail: string) =>
          heldBack.push({ rule: rule.name, account: name, why, detail });
        const seen = seenBy(account, localTime(now, rule.zone));
        try {
          if (!rule.condition.holds(seen)) continue;
        } catch (thrown) {
          held('failing', asError(thrown).message);
          continue;
        }
        const own = past.filter(
          (one) => one.accountId === account.accountId && one.rule === rule.name,
        );
        const today = recharged(own, localTime(now, rule.zone).day, rule.zone);
        const why = forbidden(rule, own, today, now);
        if (why !== null) {
          held(why, `rule ${rule.name} holds for ${name}`);
          continue;
        }
        proposals.push(
          proposal(rule, account, seen, decide(rule, seen, today, reviews, isReviewedOverHttp)),
        );
        break;
      }
    }
    return { proposals, heldBack };
  };
};

const applies = ({ tenant, businessLine }: RechargeRule, account: AccountSeen): boolean =>
  tenant === account.tenantId &&
  (businessLine === undefined || businessLine === account.businessLine);

const seenBy = (account: AccountSeen, { hour, weekday }: LocalTime): Seen => ({
  tenant: account.tenantId,
  businessLine: account.businessLine,
  cash: account.cash,
  pv: account.pv,
  hour,
  weekday,
});

interface Amounts {
  readonly cash: bigint;
  readonly units: bigint;
}

/** Of one day: what is decided against, and what the ledger refused, does not count. */
const recharged = (own: readonly PastRecharge[], day: string, zone: string): Amounts => {
  const counted = own.filter(
    ({ state, proposedAt }) => state !== 'gone' && localTime(proposedAt, zone).day === day,
  );
  return {
    cash: counted.reduce((sum, { cashMicros }) => sum + cashMicros, 0n),
    units: counted.reduce((sum, { units }) => sum + units, 0n),
  };
};

const forbidden = (
  { cash, units, dailyCap, coolDownMs }: CompiledRule,
  own: readonly PastRecharge[],
  today: Amounts,
  now: EpochMs,
): Exclude<HeldBack['why'], 'failing'> | null => {
  if (own.some(({ state }) => state === 'undecided')) return 'undecided';
  if (own.some(({ proposedAt }) => now - proposedAt < coolDownMs)) return 'cool_down';
  const beyond =
    today.cash + microsOf(cash) > microsOf(dailyCap.cash) ||
    today.units + BigInt(units) > BigInt(dailyCap.units);
  return beyond ? 'daily_cap' : null;
};

const needsReview = ({ cash, units, approveAbove }: RechargeRule): boolean =>
  (approveAbove.cash !== undefined && microsOf(cash) > microsOf(approveAbove.cash)) ||
  (approveAbove.units !== undefined && units > approveAbove.units);

const decide = (
  rule: CompiledRule,
  seen: Seen,
  today: Amounts,
  reviews: readonly CompiledReview[],
  isReviewedOverHttp: boolean,
): FirstDecision => {
  if (!needsReview(rule))
    return { state: 'approved', by: `rule ${rule.name}`, reason: 'not above approveAbove' };
  const proposed = {
    ...seen,
    rule: rule.name,
    amount: { cash: microsOf(rule.cash), units: BigInt(rule.units) },
    today,
  };
  for (const { name, verdict, condition } of reviews) {
    const by = `review rule ${name}`;
    try {
      if (!condition.holds(proposed)) continue;
    } catch (thrown) {
      return { state: 'person', because: `${by} has no answer: ${asError(thrown).message}` };
    }
    switch (verdict) {
      case 'approve':
        return { state: 'approved', by, reason: condition.text };
      case 'reject':
        return { state: 'rejected', by, reason: condition.text };
      case 'escalate':
        return { state: 'person', because: `${by}: ${condition.text}` };
    }
  }
  return isReviewedOverHttp
    ? { state: 'review' }
    : { state: 'person', because: 'no review rule decides it' };
};

const proposal = (
  rule: CompiledRule,
  account: AccountSeen,
  seen: Seen,
  decision: FirstDecision,
): Proposal => {
  const seq = account.seq + 1;
  return {
    rechargeId: `${RECHARGE_PREFIX}${account.tenantId}/${account.businessLine}/${seq}`,
    accountId: account.accountId,
    seq,
    rule: rule.name,
    cashMicros: microsOf(rule.cash),
    units: BigInt(rule.units),
    currency: microsOf(rule.cash) === 0n ? null : (rule.currency ?? null),
    seen: { when: rule.when, ...seen },
    decision,
  };
};
