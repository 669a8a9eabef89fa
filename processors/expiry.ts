import type { EpochMs } from '../schemas/brand.js';
import type { MessageRequest } from '../schemas/generated/records.js';

/** How long a message without expiresAt may wait: carriers take up to 72 h to report. */
const DEFAULT_LIFE_MS = 72 * 3_600_000;

/** Not to be sent after it: milliseconds since the epoch. */
export const expiryOf = ({
  createdAt,
  notBefore,
  expiresAt,
}: Pick<MessageRequest, 'createdAt' | 'notBefore' | 'expiresAt'>): EpochMs =>
  expiresAt ?? Math.max(createdAt, notBefore ?? createdAt) + DEFAULT_LIFE_MS;
