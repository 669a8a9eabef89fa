import { createHmac, createSecretKey } from 'node:crypto';
import type { TenantId } from '../schemas/brand.js';

/** Hex HMAC-SHA256 of tenant and user: names a recipient outside the topics that may hold personal data. */
export type RecipientHash = (tenantId: TenantId, userId: string) => string;

/** @param key RECIPIENT_HASH_KEY: without it nobody can tell a user from the hash by trying ids. */
export const recipientHash = (key: string): RecipientHash => {
  // Prepared once: a key given as text is made anew for every message, at half the price of the hash itself.
  const secret = createSecretKey(key, 'utf8');
  return (tenantId, userId) =>
    createHmac('sha256', secret).update(`${tenantId}\0${userId}`).digest('hex');
};
