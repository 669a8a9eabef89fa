import type { EpochMs } from '../../schemas/brand.js';

/** A Retry-After header (RFC 9110 10.2.3: seconds or an HTTP date) in milliseconds from now; null: none, or nonsense. */
export const retryAfterMs = (
  header: string | readonly string[] | undefined,
  now: EpochMs,
): number | null => {
  const text = (typeof header === 'string' ? header : header?.[0])?.trim();
  if (text === undefined || text === '') return null;
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const at = Date.parse(text);
  return Number.isNaN(at) ? null : Math.max(0, at - now);
};
