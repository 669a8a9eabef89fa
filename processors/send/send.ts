import { channelsOf, templatesOf, tenantsOf } from '../configuration.js';
import type { Caller, Decision, View } from '../processor.js';
import { attemptKey, attemptOf, idempotencyKey } from './attempt-key.js';
import type { Claim } from './claim.js';
import { claimDeadline, claimKey } from './claim.js';
import { complete } from './complete.js';
import type { ProviderCall, Send } from './contract.js';
import { lateReceipt } from './late-receipt.js';
import type { SendOptions } from './records.js';
import { rateFactorOf, routeOf } from './route-of.js';
import type { UsableRoute } from './route-of.js';
import { divert, expired, giveUp } from './uncalled.js';

/**
 * A record waits at its provider at most for this share of the call's time-out; longer, and it is put back, so that
 * one provider never fills a partition's claims. Half is what a call has to begin in (sinks/providers/call-times.ts).
 */
const WAIT_SHARE = 0.25;

/**
 * claim → call → complete. The claim is committed before the call, the outcome after it, so that each attempt is asked
 * at most once whatever dies in between; a claim that a restore finds has an unknown outcome.
 */
export const send = (options: SendOptions): Caller<Send> => ({
  name: 'send',

  gather: (batch, { providers }, { now, tables }) => {
    const channels = channelsOf(tables.config);
    const requests = batch.map(({ value }) => {
      if (now >= value.expiresAt) return null;
      const route = routeOf(value, channels, tables.levels);
      if (route === null) return null;
      return {
        channel: route.routed.channel,
        provider: route.provider,
        lane: options.lane,
        rateFactor: rateFactorOf(tables.levels, route.routed),
      };
    });
    return Promise.resolve(providers.admit(requests));
  },

  decide: ({ at, value }, { waitMs }, { now, tables }) => {
    if (now >= value.expiresAt) return { emit: expired(value, at, now, options) };
    const route = routeOf(value, channelsOf(tables.config), tables.levels);
    if (route === null) return { emit: unroutable(value, at, now, options) };
    if (waitMs > route.provider.timeoutMs * WAIT_SHARE)
      return { emit: divert({ routed: route.routed, at }, waitMs, now, options) };
    const deadline = claimDeadline(now, route.provider.timeoutMs, value.expiresAt);
    const claim: Claim = { routed: route.routed, at, claimedAt: now, deadline };
    const key = claimKey(at);
    return {
      put: [{ to: 'claims', key, value: claim }],
      call: [callOf(key, route, deadline, tables, options)],
    };
  },

  perform: (calls, { providers }) => providers.perform(calls),

  answered: ({ call, outcome, calledAt, answeredAt }, { now, state, tables }) => {
    const claim = state.claims.get(call.claim);
    // Completed already (a restore took it for unknown): to write a second outcome would settle twice.
    if (claim === undefined) return {};
    const ended = { claim, provider: call.provider, outcome, calledAt, answeredAt };
    return {
      emit: complete(ended, { now, tables }, options),
      put: [{ to: 'claims', key: call.claim, value: null }],
    };
  },

  late: (answer) => {
    const receipt = lateReceipt(answer);
    if (receipt === null) return {};
    return {
      emit: [{ to: 'receipts', value: receipt, key: answer.call.routed.reserved.deduped.key }],
    };
  },

  /** Their owner died or was fenced between claim and completion: whether it called, nobody knows. */
  restored: ({ now, state, tables }) => {
    const channels = channelsOf(tables.config);
    const open = [...state.claims.entries()];
    return {
      emit: open.flatMap(([, claim]) => {
        const ended = {
          claim,
          provider:
            channels
              .get(claim.routed.channel)
              ?.providers.find(({ name }) => name === claim.routed.provider) ?? null,
          outcome: { kind: 'timeout', providerCode: null } as const,
          calledAt: claim.claimedAt,
          answeredAt: now,
        };
        return complete(ended, { now, tables }, options);
      }),
      put: open.map(([key]) => ({ to: 'claims', key, value: null })),
    };
  },

  failed: ({ at, value }, _error, { now }) => ({
    emit: giveUp(
      value,
      at,
      {
        reason: 'internal',
        // Not the error's own words: they may quote the message.
        detail: 'a defect in send; the record lies in dead-letters',
        retryable: false,
        refusedAt: now,
      },
      options,
    ),
  }),

  metrics: {
    claims: ({ call }) => call?.length ?? 0,
    // A put-back beside feedback is a further try, alone it is a diversion.
    diversions: (decision) => (written(decision, 'feedback') > 0 ? 0 : written(decision, 'retry')),
    retries: (decision) => (written(decision, 'feedback') > 0 ? written(decision, 'retry') : 0),
    held: (decision) => written(decision, 'unknown'),
  },
});

const written = ({ emit }: Decision<Send>, name: keyof Send['to']): number =>
  emit?.filter(({ to }) => to === name).length ?? 0;

const unroutable = (
  routed: UsableRoute['routed'],
  at: Claim['at'],
  now: number,
  options: SendOptions,
): NonNullable<Decision<Send>['emit']> =>
  giveUp(
    routed,
    at,
    {
      reason: 'no_channel',
      detail: `${routed.channel}/${routed.provider} is no longer configured and no other route is left`,
      retryable: true,
      refusedAt: now,
    },
    options,
  );

const callOf = (
  claim: string,
  { routed, provider }: UsableRoute,
  deadline: Claim['deadline'],
  tables: View<Send>['tables'],
  { lane }: SendOptions,
): ProviderCall => {
  const { request } = routed.reserved.deduped;
  const attempt = attemptOf(routed);
  return {
    claim,
    lane,
    routed,
    provider,
    template: templatesOf(tables.config).get(request.templateId) ?? null,
    tenant: tenantsOf(tables.config).get(request.tenantId) ?? null,
    rateFactor: rateFactorOf(tables.levels, routed),
    idempotencyKey: idempotencyKey(attempt, provider.dedupesOnKey),
    reference: attemptKey(attempt),
    deadline,
  };
};
