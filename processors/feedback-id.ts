import { v5 } from 'uuid';
import type { DeliveryState } from '../schemas/generated/records.js';
import type { AttemptReference } from '../schemas/generated/records.js';

/** Namespace of feedback ids (RFC 9562, version 5). Changing it changes every id: never. */
const NAMESPACE = 'b8c3f0a2-6d1e-4f0b-9a57-2f6a1c0d7e94';

/**
 * The id of one event of one attempt, the same whenever and by whomever it is written, so that a reader who sees an
 * event again after a crash or a replay can tell. Each state is decided once per attempt.
 */
export const feedbackId = (attempt: AttemptReference, transition: DeliveryState): string =>
  v5(
    `${attempt.tenantId}|${attempt.messageId}|${String(attempt.generation)}|${String(attempt.attempt)}|${transition}`,
    NAMESPACE,
  );
