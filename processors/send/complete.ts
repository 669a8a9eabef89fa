import type { EpochMs } from '../../schemas/brand.js';
import type { ProviderConfig } from '../../schemas/config.js';
import type {
  DeliveryState,
  FailureClass,
  MessageRouted,
} from '../../schemas/generated/records.js';
import { channelsOf } from '../configuration.js';
import type { Decision, View } from '../processor.js';
import { attemptOf, unknownKey } from './attempt-key.js';
import type { Claim } from './claim.js';
import type { Send } from './contract.js';
import type { Outcome, OutcomeRule } from './outcomes.js';
import { OUTCOMES } from './outcomes.js';
import { feedbackOn } from './records.js';
import type { SendOptions } from './records.js';
import { putBack, RETRY_DELAYS_MS, retryDelay } from './retry.js';
import { nextRoute } from './route-of.js';
import { noSettlement, postRoute, voidReserved } from './settlement.js';
import { divert } from './uncalled.js';

/** One attempt as it ended. */
export interface Ended {
  readonly claim: Claim;
  readonly provider: ProviderConfig | null;
  readonly outcome: Outcome;
  readonly calledAt: EpochMs;
  readonly answeredAt: EpochMs;
}

type Seen = Pick<View<Send>, 'now' | 'tables'>;
type Emissions = NonNullable<Decision<Send>['emit']>;

/**
 * What is written for an attempt that ended: always its feedback (none was made: a diversion), and at most one of a
 * put-back, or the whole record as unknown.
 */
export const complete = (ended: Ended, seen: Seen, options: SendOptions): Emissions => {
  const { outcome } = ended;
  const rule: OutcomeRule = OUTCOMES[outcome.kind];
  // Once an earlier try may have been delivered, only an acceptance ends the message by itself: calling it failed
  // would return the money for a message that may have arrived, and another provider would deliver it twice.
  if (
    ended.claim.routed.ambiguous &&
    (rule.next === 'none' || rule.next === 'fail-over') &&
    rule.state === 'failed'
  )
    return held(ended, rule.class, options);
  switch (rule.next) {
    case 'none':
      return final(ended, rule, options);
    case 'retry':
      return retry(ended, seen, options);
    case 'fail-over':
      return failOver(ended, seen, options);
    case 'resolve':
      return resolve(ended, rule.class, seen, options);
    case 'divert':
      return divert(ended.claim, 0, seen.now, options);
  }
};

/** Done: nothing more is tried, and its money is settled. */
const final = (ended: Ended, rule: OutcomeRule, options: SendOptions): Emissions => {
  const { routed } = ended.claim;
  const terminal = rule.terminal === 'receipts' ? ended.provider?.receipts !== true : rule.terminal;
  const settlement = rule.settlement === 'post' ? postRoute(routed) : voidReserved(routed);
  return [
    feedback(
      ended,
      { state: rule.state ?? 'failed', class: rule.class, terminal, settlement },
      options,
    ),
  ];
};

const retry = (ended: Ended, seen: Seen, options: SendOptions): Emissions => {
  const { routed } = ended.claim;
  const { outcome, provider } = ended;
  const delayMs = retryDelay(
    routed.routeAttempt,
    outcome.kind === 'throttled' ? outcome.retryAfterMs : null,
    routed.expiresAt - seen.now,
  );
  if (provider !== null && routed.routeAttempt < provider.maxAttempts && delayMs !== null)
    return [going(ended, null, options), again(routed, routed.ambiguous, delayMs, seen.now)];
  if (routed.ambiguous) return held(ended, OUTCOMES[outcome.kind].class, options);
  return failOver(ended, seen, options);
};

const failOver = (ended: Ended, seen: Seen, options: SendOptions): Emissions => {
  const { routed } = ended.claim;
  const next = nextRoute(routed, channelsOf(seen.tables.config), seen.tables.levels);
  const [delayMs] = RETRY_DELAYS_MS;
  if (next === null || seen.now + delayMs >= routed.expiresAt)
    return final(ended, OUTCOMES[ended.outcome.kind], options);
  const value = putBack({ ...next.routed, attempt: routed.attempt + 1 }, delayMs, seen.now);
  return [going(ended, null, options), { to: 'retry', key: routed.reserved.deduped.key, value }];
};

/** Nobody knows. Again only where the provider refuses a second submit under the same key. */
const resolve = (
  ended: Ended,
  failure: FailureClass | null,
  seen: Seen,
  options: SendOptions,
): Emissions => {
  const { routed } = ended.claim;
  const { provider } = ended;
  const delayMs = retryDelay(routed.routeAttempt, null, routed.expiresAt - seen.now);
  const mayRetry =
    provider !== null &&
    provider.dedupesOnKey &&
    provider.unknownOutcome === 'retry' &&
    routed.routeAttempt < provider.maxAttempts;
  if (mayRetry && delayMs !== null)
    return [going(ended, 'unknown', options), again(routed, true, delayMs, seen.now)];
  return held(ended, failure, options);
};

/** Held for a receipt, a query, the horizon or a person; the whole record is kept, as claims outlive `routed`. */
const held = (ended: Ended, failure: FailureClass | null, options: SendOptions): Emissions => {
  const { routed } = ended.claim;
  return [
    feedback(
      ended,
      { state: 'held', class: failure, terminal: false, settlement: noSettlement(routed) },
      options,
    ),
    { to: 'unknown', key: unknownKey(attemptOf(routed), options.lane), value: routed },
  ];
};

/** Feedback on an attempt after which more is tried: money stays reserved. */
const going = (
  ended: Ended,
  state: DeliveryState | null,
  options: SendOptions,
): Emissions[number] => {
  const rule: OutcomeRule = OUTCOMES[ended.outcome.kind];
  return feedback(
    ended,
    {
      state: state ?? rule.state ?? 'unknown',
      class: rule.class,
      terminal: false,
      settlement: noSettlement(ended.claim.routed),
    },
    options,
  );
};

const again = (
  routed: MessageRouted,
  ambiguous: boolean,
  delayMs: (typeof RETRY_DELAYS_MS)[number],
  now: EpochMs,
): Emissions[number] => ({
  to: 'retry',
  key: routed.reserved.deduped.key,
  value: putBack(
    {
      ...routed,
      attempt: routed.attempt + 1,
      routeAttempt: routed.routeAttempt + 1,
      ambiguous,
    },
    delayMs,
    now,
  ),
});

const feedback = (
  { claim, outcome, calledAt, answeredAt }: Ended,
  known: Pick<Parameters<typeof feedbackOn>[1], 'state' | 'class' | 'terminal' | 'settlement'>,
  options: SendOptions,
): Emissions[number] => ({
  to: 'feedback',
  key: claim.routed.reserved.deduped.key,
  value: feedbackOn(
    claim.routed,
    {
      state: known.state,
      class: known.class,
      terminal: known.terminal,
      settlement: known.settlement,
      providerCode: 'providerCode' in outcome ? outcome.providerCode : null,
      providerMessageId: 'providerMessageId' in outcome ? outcome.providerMessageId : null,
      attemptedAt: calledAt,
      occurredAt: answeredAt,
    },
    options,
  ),
});
