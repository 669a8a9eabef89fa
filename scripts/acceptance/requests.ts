import { v7 } from 'uuid';
import { messageId, tenantId } from '../../schemas/brand.js';
import type { MessageRequest } from '../../schemas/generated/records.js';

/** A request that nothing is wrong with, for one push; or what a test makes of it. */
export const requestOf = (changes: Partial<MessageRequest> = {}): MessageRequest => ({
  messageId: messageId(v7()),
  tenantId: tenantId('acme'),
  businessLine: 'orders',
  attribute: 'service',
  idempotencyKey: null,
  campaignId: null,
  recipient: recipientOf(),
  templateId: 'welcome',
  params: { name: 'guest', code: '424242' },
  channels: ['app_push'],
  units: null,
  maxCostMicros: null,
  currency: null,
  locale: null,
  timeZone: null,
  createdAt: Date.now(),
  notBefore: null,
  expiresAt: null,
  labels: {},
  ...changes,
});

export const recipientOf = (
  changes: Partial<MessageRequest['recipient']> = {},
): MessageRequest['recipient'] => ({
  userId: 'user-1',
  phone: '+8613800000000',
  email: null,
  openId: null,
  pushTokens: ['token-1'],
  tier: null,
  ...changes,
});
