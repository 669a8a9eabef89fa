import { PipelineError } from '../../schemas/error.js';
import type { ProviderConfig } from '../../schemas/config.js';
import type { Lane, MessageRouted, ProviderReceipt } from '../../schemas/generated/records.js';
import { channelsOf } from '../configuration.js';
import type { Caller, Decision, View } from '../processor.js';
import type { RecipientHash } from '../recipient-hash.js';
import { attemptKey, attemptOf, idempotencyKey, laneOfUnknown } from '../send/attempt-key.js';
import { feedbackOn } from '../send/records.js';
import { putBack, RETRY_DELAYS_MS } from '../send/retry.js';
import { noSettlement } from '../send/settlement.js';
import type { Finding, Inquired, Inquiry, Unknown, Waiting } from './contract.js';
import {
  askAfterMs,
  DEFAULT_HORIZON_MS,
  FOUND_MISSING_TIMES,
  INQUIRIES_A_TICK,
  INQUIRY_TIMEOUT_MS,
} from './schedule.js';

/** A resend must have its time: what would expire on the way stays held. */
const RESEND_MARGIN_MS = 60_000;

type Seen = Pick<View<Unknown>, 'now' | 'tables'>;

/**
 * Attempts whose outcome nobody knows, until somebody does. Where the provider's policy is `query` it is asked; what
 * it says, like a carrier's receipt or a person's word, goes through `receipts`, whose stage decides once. After the
 * provider's receipt horizon nobody will say any more: the attempt ends as `unknown`.
 */
export const unknown = (options: { readonly recipientHash: RecipientHash }): Caller<Unknown> => ({
  name: 'unknown',
  gather: null,

  decide: ({ at, key, value, timestamp }) => {
    if (key === null)
      throw new PipelineError('undecidable', `a held attempt at ${String(at.offset)} has no key`);
    const name = key.toString();
    const waiting: Waiting | null =
      value === null
        ? null
        : { routed: value, heldAt: timestamp, asked: 0, nextAt: timestamp + askAfterMs(0) };
    return { put: [{ to: 'waiting', key: name, value: waiting }] };
  },

  tick: ({ now, state, tables }) => {
    const providerOf = providersOf({ now, tables });
    const emit: NonNullable<Decision<Unknown>['emit']>[number][] = [];
    const put: NonNullable<Decision<Unknown>['put']>[number][] = [];
    const call: Inquiry[] = [];
    for (const [key, waiting] of state.waiting.entries()) {
      const provider = providerOf(waiting.routed);
      if (now >= waiting.heldAt + (provider?.receiptHorizonMs ?? DEFAULT_HORIZON_MS)) {
        emit.push({ to: 'receipts', key: keyOf(waiting), value: expiry(waiting.routed, now) });
        put.push({ to: 'waiting', key, value: null });
      } else if (
        provider?.unknownOutcome === 'query' &&
        now >= waiting.nextAt &&
        call.length < INQUIRIES_A_TICK
      ) {
        call.push(inquiryOf(key, waiting, provider, now));
        // Written before it is asked, like a claim: a crash asks again at its next time, which harms nobody.
        const asked = waiting.asked + 1;
        // A past time (the worker was away) must not make it ask every second until it has caught up.
        const nextAt = Math.max(waiting.heldAt + askAfterMs(asked), now + askAfterMs(0));
        put.push({ to: 'waiting', key, value: { ...waiting, asked, nextAt } });
      }
    }
    return { emit, put, call };
  },

  perform: (calls, { inquiries }) => inquiries.inquire(calls),

  answered: ({ call, finding, answeredAt }, { now, state }) => {
    const waiting = state.waiting.get(call.key);
    // Resolved meanwhile, by a receipt or a person.
    if (waiting === undefined) return {};
    switch (finding.kind) {
      case 'reported':
        return {
          emit: [
            {
              to: 'receipts',
              key: keyOf(waiting),
              value: reported(call.routed, finding, answeredAt),
            },
          ],
          put: [{ to: 'waiting', key: call.key, value: null }],
        };
      case 'not_found':
        return mayResend(waiting, call.provider, now) ? resend(call, waiting, now, options) : {};
      case 'no_answer':
        return {};
    }
  },

  late: ({ call, finding, answeredAt }: Inquired) =>
    finding.kind === 'reported'
      ? {
          emit: [
            {
              to: 'receipts',
              key: keyOf(call),
              value: reported(call.routed, finding, answeredAt),
            },
          ],
        }
      : {},

  metrics: {
    inquiries: ({ call }) => call?.length ?? 0,
    expired: ({ emit }) =>
      emit?.filter((one) => one.to === 'receipts' && one.value.origin === 'expiry').length ?? 0,
    resent: ({ emit }) => emit?.filter(({ to }) => to === 'retry').length ?? 0,
  },
});

/** The message's own key: all that is said of it stays in order. */
const keyOf = ({ routed }: { readonly routed: MessageRouted }): string =>
  routed.reserved.deduped.key;

const providersOf = ({ tables }: Seen) => {
  const channels = channelsOf(tables.config);
  return ({ channel, provider }: MessageRouted): ProviderConfig | undefined =>
    channels.get(channel)?.providers.find(({ name }) => name === provider);
};

const inquiryOf = (
  key: string,
  { routed, heldAt }: Waiting,
  provider: ProviderConfig,
  now: number,
): Inquiry => {
  const attempt = attemptOf(routed);
  return {
    key,
    routed,
    provider,
    reference: attemptKey(attempt),
    idempotencyKey: idempotencyKey(attempt, provider.dedupesOnKey),
    heldAt,
    deadline: now + INQUIRY_TIMEOUT_MS,
  };
};

const receiptOn = (
  routed: MessageRouted,
  said: Pick<
    ProviderReceipt,
    | 'origin'
    | 'state'
    | 'class'
    | 'providerCode'
    | 'providerMessageId'
    | 'units'
    | 'reportedAt'
    | 'receivedAt'
  >,
): ProviderReceipt => ({
  provider: routed.provider,
  channel: routed.channel,
  attempt: attemptOf(routed),
  deferrals: 0,
  dueAt: null,
  ...said,
});

const reported = (
  routed: MessageRouted,
  { kind: _kind, ...said }: Extract<Finding, { kind: 'reported' }>,
  answeredAt: number,
): ProviderReceipt => receiptOn(routed, { origin: 'query', receivedAt: answeredAt, ...said });

/** Nobody will say any more. Who pays is the provider's terms: the receipts stage knows them. */
const expiry = (routed: MessageRouted, now: number): ProviderReceipt =>
  receiptOn(routed, {
    origin: 'expiry',
    state: 'unknown',
    class: 'unknown',
    providerCode: null,
    providerMessageId: null,
    units: null,
    reportedAt: now,
    receivedAt: now,
  });

const mayResend = ({ asked, routed }: Waiting, provider: ProviderConfig, now: number): boolean =>
  // "Not found" may be "not found yet". Only a provider that drops a second submit makes that harmless.
  provider.dedupesOnKey &&
  asked >= FOUND_MISSING_TIMES &&
  routed.routeAttempt < provider.maxAttempts &&
  now + RESEND_MARGIN_MS < routed.expiresAt;

/** Again under the same key, as its next attempt. The one before is told as unknown: its successor settles. */
const resend = (
  { key }: Inquiry,
  { routed, heldAt }: Waiting,
  now: number,
  { recipientHash }: { readonly recipientHash: RecipientHash },
): Decision<Unknown> => {
  const lane: Lane | null = laneOfUnknown(key);
  if (lane === null) return {};
  const said = feedbackOn(
    routed,
    {
      state: 'unknown',
      class: 'unknown',
      terminal: false,
      settlement: noSettlement(routed),
      providerCode: null,
      providerMessageId: null,
      attemptedAt: heldAt,
      occurredAt: now,
    },
    { lane, recipientHash },
  );
  const next = {
    ...routed,
    attempt: routed.attempt + 1,
    routeAttempt: routed.routeAttempt + 1,
    ambiguous: true,
  };
  return {
    emit: [
      // Its own number is taken by "held".
      { to: 'feedback', key: keyOf({ routed }), value: { ...said, sequence: routed.attempt + 1 } },
      {
        to: 'retry',
        key: keyOf({ routed }),
        value: { lane, routed: putBack(next, RETRY_DELAYS_MS[0], now) },
      },
      { to: 'resolved', key, value: null },
    ],
    put: [{ to: 'waiting', key, value: null }],
  };
};
