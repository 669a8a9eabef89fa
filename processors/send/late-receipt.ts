import type { FailureClass, ProviderReceipt } from '../../schemas/generated/records.js';
import { attemptOf } from './attempt-key.js';
import type { ProviderAnswer } from './contract.js';
import type { Outcome } from './outcomes.js';
import { OUTCOMES } from './outcomes.js';

/**
 * An answer whose partition was lost meanwhile: the new owner found its claim and called it unknown, so what it says
 * goes to `receipts`. null: it says nothing (an ambiguous outcome).
 */
export const lateReceipt = ({
  call,
  outcome,
  answeredAt,
}: ProviderAnswer): ProviderReceipt | null => {
  const learned = learnedFrom(outcome);
  if (learned === null) return null;
  return {
    provider: call.routed.provider,
    channel: call.routed.channel,
    origin: 'late_answer',
    attempt: attemptOf(call.routed),
    units: null,
    reportedAt: answeredAt,
    receivedAt: answeredAt,
    deferrals: 0,
    dueAt: null,
    ...learned,
  };
};

const learnedFrom = (
  outcome: Outcome,
): Pick<ProviderReceipt, 'state' | 'class' | 'providerCode' | 'providerMessageId'> | null => {
  switch (outcome.kind) {
    case 'accepted':
    case 'delivered':
      return {
        state: outcome.kind,
        class: null,
        providerCode: outcome.providerCode,
        providerMessageId: outcome.providerMessageId,
      };
    case 'failed.recipient':
    case 'failed.content':
    case 'failed.account':
    case 'failed.provider':
    case 'throttled':
      return {
        state: 'failed',
        class: OUTCOMES[outcome.kind].class,
        providerCode: outcome.providerCode,
        providerMessageId: null,
      };
    case 'not_called':
      // Worth knowing: the message was not sent. We were too late, the provider is not to blame.
      return {
        state: 'failed',
        class: 'expired' satisfies FailureClass,
        providerCode: 'not_called',
        providerMessageId: null,
      };
    case 'timeout':
    case 'unknown':
      return null;
  }
};
