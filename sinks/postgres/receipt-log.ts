import type { EpochMs } from '../../schemas/brand.js';
import { messageId, tenantId } from '../../schemas/brand.js';
import { PipelineError } from '../../schemas/error.js';
import type {
  AttemptReference,
  DeliveryState,
  FailureClass,
  Lane,
} from '../../schemas/generated/records.js';
import type { Coordinates } from '../../schemas/record.js';
import { numberArray, plainArray, textArray } from './array-literal.js';
import { postgresAttempts } from './attempts.js';
import { type PartitionOwnership, stillOwned } from './partition-ownership.js';
import type { Database } from './pool.js';

/** As processors/receipts/receipt-log.ts has it, with what each field means. */
interface Question {
  readonly at: Coordinates;
  readonly attempt: AttemptReference | null;
  readonly provider: string;
  readonly providerMessageId: string | null;
  readonly transition: DeliveryState;
}

interface Row {
  readonly place: number;
  readonly outcome: 'unknown_attempt' | 'earlier_pending' | 'first' | 'again' | 'already';
  readonly attempt: StoredAttempt | null;
}

/** The function's jsonb. Money is text in it. */
interface StoredAttempt {
  readonly tenant_id: string;
  readonly message_id: string;
  readonly generation: number;
  readonly attempt: number;
  readonly record_key: string;
  readonly lane: Lane;
  readonly channel: string;
  readonly provider: string;
  readonly provider_message_id: string | null;
  readonly business_line: string;
  readonly campaign_id: string | null;
  readonly template_id: string;
  readonly recipient_hash: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly created_at: number;
  readonly attempted_at: number;
  readonly occurred_at: number;
  readonly state: DeliveryState;
  readonly class: FailureClass | null;
  readonly terminal: boolean;
  readonly sequence: number;
  readonly posted_cash: string;
  readonly posted_units: number;
  readonly currency: string;
  readonly lease_id: string | null;
  readonly reservation: {
    readonly cash: string;
    readonly units: number;
    readonly currency: string;
    readonly state: 'pending' | 'posted' | 'voided' | 'reversed';
  } | null;
}

const attemptOf = (stored: StoredAttempt) => ({
  tenantId: tenantId(stored.tenant_id),
  messageId: messageId(stored.message_id),
  generation: stored.generation,
  attempt: stored.attempt,
  key: stored.record_key,
  lane: stored.lane,
  channel: stored.channel,
  provider: stored.provider,
  providerMessageId: stored.provider_message_id,
  businessLine: stored.business_line,
  campaignId: stored.campaign_id,
  templateId: stored.template_id,
  recipientHash: stored.recipient_hash,
  labels: stored.labels,
  createdAt: stored.created_at,
  attemptedAt: stored.attempted_at,
  occurredAt: stored.occurred_at,
  state: stored.state,
  class: stored.class,
  terminal: stored.terminal,
  sequence: stored.sequence,
  postedCashMicros: BigInt(stored.posted_cash),
  postedUnits: stored.posted_units,
  currency: stored.currency,
  leaseId: stored.lease_id,
  reservation:
    stored.reservation === null
      ? null
      : {
          cashMicros: BigInt(stored.reservation.cash),
          units: stored.reservation.units,
          currency: stored.reservation.currency,
          state: stored.reservation.state,
        },
});

type Answer =
  | { readonly kind: 'unknown_attempt'; readonly passed: EpochMs | null }
  | { readonly kind: 'earlier_pending' | 'already' }
  | { readonly kind: 'first' | 'again'; readonly attempt: ReturnType<typeof attemptOf> };

const DECIDE = {
  name: 'decide-receipts',
  text: 'select * from decide_receipts($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)',
};

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** A report may name anything: what cannot be an id of ours is no attempt of ours. */
const known = (attempt: AttemptReference | null): AttemptReference | null =>
  attempt !== null && UUID.test(attempt.messageId) ? attempt : null;

/** No attempt has this provider: a reference that cannot be ours must not fall back to the provider's id. */
const provider = (question: Question): string | null =>
  question.attempt === null ? question.provider : null;

/**
 * Decides receipts once each: one call of decide_receipts() a batch.
 * @param attemptsConsumer the consumer name that postgresAttempts has
 */
export const postgresReceiptLog = (
  database: Database,
  attemptsConsumer: string,
  ownership: PartitionOwnership,
) => {
  const attempts = postgresAttempts(database, attemptsConsumer);
  return {
    takeOver: ownership.takeOver,

    async decide(batch: readonly Question[]): Promise<readonly Answer[]> {
      // Before the look-up: what is stored after this time may be missed by it, what was stored before cannot.
      const passed = await attempts.passed();
      const references = batch.map(({ attempt }) => known(attempt));
      const rows = await database.query<Row>(DECIDE, [
        ...ownership.parameters(batch.map(({ at }) => at)),
        textArray(batch.map(({ at }) => at.topic)),
        numberArray(batch.map(({ at }) => at.partition)),
        numberArray(batch.map(({ at }) => at.offset)),
        textArray(references.map((reference) => reference?.tenantId ?? null)),
        plainArray(references.map((reference) => reference?.messageId ?? 'NULL')),
        numberArray(references.map((reference) => reference?.generation ?? null)),
        numberArray(references.map((reference) => reference?.attempt ?? null)),
        textArray(batch.map(provider)),
        textArray(batch.map(({ providerMessageId }) => providerMessageId)),
        plainArray(batch.map(({ transition }) => transition)),
      ]);
      return stillOwned(rows).map(({ outcome: kind, attempt }): Answer => {
        if (kind === 'unknown_attempt') return { kind, passed };
        if (kind === 'earlier_pending' || kind === 'already') return { kind };
        if (attempt === null) throw new PipelineError('defect', `${kind} without its attempt`);
        return { kind, attempt: attemptOf(attempt) };
      });
    },
  };
};
