import { messageId, tenantId } from '../../schemas/brand.js';
import type { AttemptReference } from '../../schemas/generated/records.js';

const REFERENCE =
  /^([a-z0-9][a-z0-9_-]{0,62})\|([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\|(\d{1,9})\|(\d{1,9})$/;

/** tenant|messageId|generation|attempt as a provider echoed it. null: not ours; whoever pushed it may be anyone. */
export const attemptOfReference = (reference: unknown): AttemptReference | null => {
  const match = typeof reference === 'string' ? REFERENCE.exec(reference) : null;
  if (match === null) return null;
  const [, tenant = '', message = '', generation, attempt] = match;
  return {
    tenantId: tenantId(tenant),
    messageId: messageId(message),
    generation: Number(generation),
    attempt: Number(attempt),
  };
};
