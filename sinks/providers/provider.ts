import type { EpochMs } from '../../schemas/brand.js';
import type { ProviderConfig, TemplateConfig, TenantConfig } from '../../schemas/config.js';
import type {
  AttemptReference,
  DeliveryState,
  FailureClass,
  MessageRouted,
} from '../../schemas/generated/records.js';

/** What one call came to. Each adapter maps its provider's own codes to these in its `codes.ts`. */
export type Outcome =
  | {
      readonly kind: 'accepted' | 'delivered';
      readonly providerMessageId: string | null;
      readonly providerCode: string | null;
    }
  | { readonly kind: FailedKind; readonly providerCode: string | null }
  | {
      readonly kind: 'throttled';
      readonly retryAfterMs: number | null;
      readonly providerCode: string | null;
    }
  /** timeout: written, no answer. unknown: an answer that says nothing. Both: it may have been delivered. */
  | { readonly kind: 'timeout' | 'unknown'; readonly providerCode: string | null }
  /** Never written: nobody was asked. */
  | { readonly kind: 'not_called' };

export type FailedKind =
  'failed.recipient' | 'failed.content' | 'failed.account' | 'failed.provider';

/** One message for one provider. */
export interface Submission {
  readonly routed: MessageRouted;
  readonly template: TemplateConfig | null;
  readonly tenant: TenantConfig | null;
  /** What the provider may dedupe on. */
  readonly idempotencyKey: string;
  /** tenant|messageId|generation|attempt: to be echoed in receipts. */
  readonly reference: string;
  /** Not written after this. */
  readonly startBy: EpochMs;
  /** No answer by then: timed out. */
  readonly deadline: EpochMs;
}

export interface Submitted {
  /** One a submission, in order. */
  readonly outcomes: readonly Outcome[];
  /** When the request was written; null: it was not. */
  readonly calledAt: EpochMs | null;
}

/** What a carrier's callback says of one message. */
export interface CarrierReport {
  readonly attempt: AttemptReference | null;
  readonly providerMessageId: string | null;
  readonly state: DeliveryState;
  readonly class: FailureClass | null;
  readonly providerCode: string | null;
  readonly units: number | null;
  /** The carrier's own time. */
  readonly reportedAt: EpochMs;
}

/** How a provider's callbacks are read and answered. */
export interface ReceiptFormat {
  /**
   * @throws PipelineError undecidable where the body is none of the provider's: answered 400, with nothing of it
   */
  readonly parse: (body: Buffer) => readonly CarrierReport[];
  /** The body that the provider takes for "got it". */
  readonly acknowledgement: string;
}

/** What became of an attempt whose outcome nobody knows? */
export interface Inquiry {
  readonly routed: MessageRouted;
  /** As it was submitted. */
  readonly reference: string;
  readonly idempotencyKey: string;
  /** When we gave up on its answer: it was submitted between `routed.routedAt` and this. */
  readonly heldAt: EpochMs;
  /** No answer by then: none. */
  readonly deadline: EpochMs;
}

export type Finding =
  | {
      readonly kind: 'reported';
      readonly state: 'accepted' | 'delivered' | 'failed';
      readonly class: FailureClass | null;
      readonly providerCode: string | null;
      readonly providerMessageId: string | null;
      readonly units: number | null;
      /** The provider's own time; 0 where it names none. */
      readonly reportedAt: EpochMs;
    }
  /** It looked, and has no such attempt (yet). */
  | { readonly kind: 'not_found' }
  | { readonly kind: 'no_answer'; readonly code: string | null };

/** One provider, as configured. */
export interface Provider {
  /** Messages in one call. */
  readonly maxBatch: number;
  /**
   * Calls once, never retries, never rejects for the provider's failure: that is an outcome.
   */
  readonly submit: (batch: readonly Submission[]) => Promise<Submitted>;
  /** Asks what became of one; never rejects for the provider's failure. Absent: its protocol has no such question. */
  readonly query?: (inquiry: Inquiry) => Promise<Finding>;
  /** Drops idle connections; calls under way end by themselves. */
  readonly close: () => Promise<void>;
}

/** What an adapter is made from. Secrets come from the environment variables that the settings name. */
export interface ProviderContext {
  readonly config: ProviderConfig;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly now: () => EpochMs;
}

/** A kind of provider. */
export interface Adapter {
  /** Environment variables that this configuration needs. */
  readonly secrets: (config: ProviderConfig) => readonly string[];
  /** @throws PipelineError config_invalid naming the setting or variable that is missing, never a value */
  readonly open: (context: ProviderContext) => Provider;
  /** Absent: the provider sends no receipts. */
  readonly receipts?: ReceiptFormat;
}
