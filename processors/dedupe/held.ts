import type { MessageRefused } from '../../schemas/generated/records.js';

/**
 * Whether a refused request still holds its key, as far as its refusal tells. What dedupe refuses never took it, a
 * retryable refusal gave it back, a duplicate meets another's. A few reasons are given by dedupe and by later stages:
 * they count as free, because a key that is held wrongly refuses a producer's corrected request, and one that is free
 * wrongly meets the later stage's refusal again.
 */
export const holdsItsKey = ({ reason, retryable }: MessageRefused): boolean => {
  if (retryable) return false;
  switch (reason) {
    case 'duplicate':
    case 'idempotency_conflict':
    case 'invalid':
    case 'too_large':
    case 'unknown_tenant':
    case 'tenant_mismatch':
    case 'unknown_template':
    case 'lane_not_allowed':
    case 'expired':
      return false;
    case 'no_address':
    case 'no_channel':
    case 'budget_cash':
    case 'budget_pv':
    case 'quota':
    case 'account_closed':
    case 'currency':
    case 'policy':
    case 'suppressed':
    case 'frequency_cap':
    case 'breaker':
    case 'cancelled':
    case 'internal':
      return true;
  }
};
