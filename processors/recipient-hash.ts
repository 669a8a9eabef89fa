import { createHmac } from 'node:crypto';
import type { TenantId } from '../schemas/brand.js';

/** Hex HMAC-SHA256 of tenant and user: names a recipient outside the topics that may hold personal data. */
export type RecipientHash = (tenantId: TenantId, userId: string) => string;

/** @param key RECIPIENT_HASH_KEY: without it nobody can tell a user from the hash by trying ids. */
export const recipientHash =
  (key: string): RecipientHash =>
  (tenantId, userId) =>
    createHmac('sha256', key).update(`${tenantId}\0${userId}`).digest('hex');
