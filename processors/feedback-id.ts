import { hash } from 'node:crypto';
import type { AttemptReference, DeliveryState } from '../schemas/generated/records.js';

/** Namespace of feedback ids (RFC 9562, version 5). Changing it changes every id: never. */
const NAMESPACE = Buffer.from('b8c3f0a26d1e4f0b9a572f6a1c0d7e94', 'hex').toString('latin1');

/**
 * The id of one event of one attempt, the same whenever and by whomever it is written, so that a reader who sees an
 * event again after a crash or a replay can tell. Each state is decided once per attempt; `unknown` at most twice: while a next attempt is made, and at the
 * end.
 * A UUID of version 5, made here because it is made per message: the uuid package takes three times as long.
 */
export const feedbackId = (
  attempt: AttemptReference,
  transition: DeliveryState | 'unknown.end',
): string => {
  const name = `${attempt.tenantId}|${attempt.messageId}|${String(attempt.generation)}|${String(attempt.attempt)}|${transition}`;
  const hex = hash('sha1', Buffer.from(NAMESPACE + Buffer.from(name).toString('latin1'), 'latin1'));
  const variant = ((Number.parseInt(hex.slice(16, 18), 16) & 0x3f) | 0x80).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-${variant}${hex.slice(18, 20)}-${hex.slice(20, 32)}`;
};
