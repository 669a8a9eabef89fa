import { messageId, tenantId } from '../../schemas/brand.js';
import type { DeliveryFeedback } from '../../schemas/generated/records.js';

/** A first attempt that was accepted, at a cost, all in the same millisecond: its window has no latency. */
export const accepted = (
  occurredAt: number,
  change: Partial<DeliveryFeedback> = {},
): DeliveryFeedback => ({
  feedbackId: 'f',
  messageId: messageId('m'),
  generation: 0,
  tenantId: tenantId('acme'),
  businessLine: 'orders',
  campaignId: null,
  templateId: 't',
  lane: 'p1',
  attempt: 1,
  sequence: 1,
  channel: 'sms',
  provider: 'aliyun',
  state: 'accepted',
  terminal: true,
  class: null,
  providerCode: null,
  providerMessageId: null,
  settlement: { kind: 'post', cashMicros: 45_000n, units: 1, currency: 'CNY', leaseId: null },
  recipientHash: 'h',
  createdAt: occurredAt,
  attemptedAt: occurredAt,
  occurredAt,
  labels: {},
  ...change,
});
