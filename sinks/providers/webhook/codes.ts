import type { FailedKind } from '../provider.js';

/**
 * Statuses of a webhook's receiver. Source: Standard Webhooks specification, "Operational considerations": 2xx is
 * received, 410 Gone means that the endpoint wants nothing more, 429 and 503 may say retry-after, a redirect is a
 * failure and not followed.
 */
export const STATUS_KINDS: readonly {
  readonly from: number;
  readonly to: number;
  readonly kind: 'accepted' | 'throttled' | FailedKind;
}[] = [
  { from: 200, to: 299, kind: 'accepted' },
  { from: 300, to: 399, kind: 'failed.recipient' },
  { from: 408, to: 408, kind: 'failed.provider' },
  { from: 410, to: 410, kind: 'failed.recipient' },
  { from: 429, to: 429, kind: 'throttled' },
  { from: 400, to: 499, kind: 'failed.content' },
  { from: 500, to: 599, kind: 'failed.provider' },
];
