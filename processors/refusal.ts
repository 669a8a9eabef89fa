import type { EpochMs } from '../schemas/brand.js';
import type {
  MessageRefused,
  MessageRequest,
  RefusalReason,
  Settlement,
} from '../schemas/generated/records.js';
import type { Coordinates } from '../schemas/record.js';
import { laneOf } from './lane.js';
import type { RecipientHash } from './recipient-hash.js';

/**
 * May the same request be sent again and then pass? A retryable refusal frees the idempotency key (contract,
 * "Same message twice").
 */
const RETRYABLE = {
  duplicate: false,
  idempotency_conflict: false,
  invalid: false,
  too_large: false,
  unknown_tenant: false,
  tenant_mismatch: false,
  unknown_template: false,
  no_address: false,
  no_channel: true,
  lane_not_allowed: false,
  expired: false,
  budget_cash: true,
  budget_pv: true,
  quota: true,
  account_closed: false,
  currency: false,
  policy: false,
  suppressed: false,
  frequency_cap: false,
  breaker: true,
  cancelled: false,
  internal: false,
} as const satisfies Record<RefusalReason, boolean>;

/** An event that means nothing for money. */
export const NO_SETTLEMENT: Settlement = {
  kind: 'none',
  cashMicros: 0n,
  units: 0,
  currency: '',
  leaseId: null,
};

/** Money may be reserved for the message, how much is not known here: all there is goes back. */
export const VOID_WHATEVER: Settlement = { ...NO_SETTLEMENT, kind: 'void' };

/** Why a request is refused. detail holds no personal data: it never quotes the recipient or params. */
export interface Refusal {
  readonly reason: RefusalReason;
  readonly field?: string;
  readonly detail: string;
  /** at null: its coordinates are not known any more. */
  readonly first?: {
    readonly messageId: MessageRequest['messageId'];
    readonly at: Coordinates | null;
  };
  /** void where money had been reserved. */
  readonly settlement?: Settlement;
}

/** An id that is no UUID is echoed, so that its producer finds it, but only so far. */
const MAX_ECHO_CHARACTERS = 128;

/** The refusal of a request as it is written: no recipient, no params. */
export const refused = (
  source: {
    readonly request: MessageRequest;
    readonly generation: number;
    readonly at: Coordinates;
  },
  { reason, field, detail, first, settlement = NO_SETTLEMENT }: Refusal,
  hash: RecipientHash,
  now: EpochMs,
): MessageRefused => {
  const { request, generation, at } = source;
  const { userId } = request.recipient;
  return {
    messageId: request.messageId.slice(0, MAX_ECHO_CHARACTERS) as MessageRequest['messageId'],
    generation,
    tenantId: request.tenantId,
    businessLine: request.businessLine,
    lane: laneOf(at.topic),
    idempotencyKey: request.idempotencyKey,
    source: { topic: at.topic, partition: at.partition, offset: at.offset },
    reason,
    field: field ?? null,
    detail,
    retryable: RETRYABLE[reason],
    firstMessageId: first?.messageId ?? null,
    firstSource: first?.at ?? null,
    recipientHash: userId === '' ? null : hash(request.tenantId, userId),
    settlement,
    createdAt: request.createdAt,
    refusedAt: now,
    // Labels over the limits are what is refused; they would be carried on.
    labels: field === 'labels' ? {} : request.labels,
  };
};
