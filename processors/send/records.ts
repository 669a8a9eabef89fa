import type { EpochMs } from '../../schemas/brand.js';
import type {
  DeliveryFeedback,
  DeliveryState,
  FailureClass,
  Lane,
  MessageRefused,
  MessageRouted,
  RefusalReason,
  Settlement,
} from '../../schemas/generated/records.js';
import type { Coordinates } from '../../schemas/record.js';
import { feedbackId } from '../feedback-id.js';
import type { RecipientHash } from '../recipient-hash.js';
import { attemptOf } from './attempt-key.js';
import { voidReserved } from './settlement.js';

/** What the stage is told once: its lane is its topics', never the record's. */
export interface SendOptions {
  readonly lane: Lane;
  readonly recipientHash: RecipientHash;
}

/** What is known of an attempt. */
export interface AttemptResult {
  readonly state: DeliveryState;
  readonly class: FailureClass | null;
  readonly terminal: boolean;
  readonly settlement: Settlement;
  readonly providerCode: string | null;
  readonly providerMessageId: string | null;
  readonly attemptedAt: EpochMs;
  readonly occurredAt: EpochMs;
}

/** Feedback on an attempt. No recipient, no params: only the hash. */
export const feedbackOn = (
  routed: MessageRouted,
  result: AttemptResult,
  { lane, recipientHash }: SendOptions,
): DeliveryFeedback => {
  const attempt = attemptOf(routed);
  const { request } = routed.reserved.deduped;
  return {
    // Field by field, in the schema's order: this is made per message, and spreading costs ten times as much.
    feedbackId: feedbackId(attempt, result.state),
    messageId: request.messageId,
    generation: attempt.generation,
    tenantId: request.tenantId,
    businessLine: request.businessLine,
    campaignId: request.campaignId,
    templateId: request.templateId,
    lane,
    attempt: routed.attempt,
    // An attempt has one outcome of ours; what comes later counts on from the newest.
    sequence: routed.attempt,
    channel: routed.channel,
    provider: routed.provider,
    state: result.state,
    terminal: result.terminal,
    class: result.class,
    providerCode: result.providerCode,
    providerMessageId: result.providerMessageId,
    settlement: result.settlement,
    recipientHash: recipientHash(request.tenantId, request.recipient.userId),
    createdAt: request.createdAt,
    attemptedAt: result.attemptedAt,
    occurredAt: result.occurredAt,
    labels: request.labels,
  };
};

/** A refusal after money was reserved: it returns all of it. */
export const refusalOf = (
  routed: MessageRouted,
  at: Coordinates,
  why: {
    readonly reason: RefusalReason;
    readonly detail: string;
    readonly retryable: boolean;
    readonly refusedAt: EpochMs;
  },
  { lane, recipientHash }: SendOptions,
): MessageRefused => {
  const { request, generation } = routed.reserved.deduped;
  return {
    messageId: request.messageId,
    generation,
    tenantId: request.tenantId,
    businessLine: request.businessLine,
    lane,
    idempotencyKey: request.idempotencyKey,
    source: { topic: at.topic, partition: at.partition, offset: at.offset },
    field: null,
    firstMessageId: null,
    firstSource: null,
    recipientHash: recipientHash(request.tenantId, request.recipient.userId),
    settlement: voidReserved(routed),
    createdAt: request.createdAt,
    labels: request.labels,
    ...why,
  };
};
