import { messageId, tenantId } from '../../schemas/brand.js';
import type { DeliveryFeedback } from '../../schemas/generated/records.js';

/** A first attempt that was accepted 100 ms after it began, 300 after its message was made, at a cost. */
export const answer = (change: Partial<DeliveryFeedback>): DeliveryFeedback => ({
  feedbackId: 'f',
  messageId: messageId('m'),
  generation: 0,
  tenantId: tenantId('acme'),
  businessLine: 'main',
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
  createdAt: (change.occurredAt ?? 0) - 300,
  attemptedAt: (change.occurredAt ?? 0) - 100,
  occurredAt: 0,
  labels: {},
  ...change,
});
