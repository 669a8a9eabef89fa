import { hash } from 'node:crypto';
import type { MessageRequest } from '../../schemas/generated/records.js';

const KEY_BYTES = 16;
const CONTENT_BYTES = 8;

/** SHA-256, cut: a producer must not be able to make another's key collide with theirs. */
const digest = (text: string, bytes: number): Buffer =>
  hash('sha256', text, 'buffer').subarray(0, bytes);

/** What names a message within its tenant. */
export type Keyed = Pick<MessageRequest, 'tenantId' | 'idempotencyKey' | 'messageId'>;

/**
 * 16 bytes for tenant + (idempotencyKey, else messageId). The marker keeps one message's id from meeting another's
 * idempotency key; the tenant comes first and cannot hold the separator, so no two tenants ever meet.
 */
export const keyHash = ({ tenantId, idempotencyKey, messageId }: Keyed): Buffer =>
  digest(
    idempotencyKey === null ? `${tenantId}\0m${messageId}` : `${tenantId}\0k${idempotencyKey}`,
    KEY_BYTES,
  );

/** 8 bytes over what may not differ under one key: contract, "Same message twice". */
export const contentHash = (request: MessageRequest): Buffer => {
  const { recipient } = request;
  const params = Object.entries(request.params).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return digest(
    JSON.stringify([
      recipient.userId,
      recipient.phone,
      recipient.email,
      recipient.openId,
      recipient.pushTokens,
      recipient.tier,
      request.templateId,
      params,
      request.channels,
      request.units,
      request.maxCostMicros === null ? null : String(request.maxCostMicros),
    ]),
    CONTENT_BYTES,
  );
};
