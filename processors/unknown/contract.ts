import type { EpochMs } from '../../schemas/brand.js';
import type { ProviderConfig } from '../../schemas/config.js';
import type {
  ConfigEntry,
  DeliveryFeedback,
  FailureClass,
  Lane,
  MessageRouted,
  ProviderReceipt,
} from '../../schemas/generated/records.js';
import type { Contract } from '../processor.js';

/** A held attempt that waits for someone to say what became of it. */
export interface Waiting {
  readonly routed: MessageRouted;
  /** When it was held; its horizon counts from here. */
  readonly heldAt: EpochMs;
  /** How often its provider was asked. */
  readonly asked: number;
  /** Not asked again before this. */
  readonly nextAt: EpochMs;
}

/** One question to a provider: what became of this attempt? */
export interface Inquiry {
  /** Store key of the attempt. */
  readonly key: string;
  readonly routed: MessageRouted;
  readonly provider: ProviderConfig;
  /** tenant|messageId|generation|attempt, as it was submitted. */
  readonly reference: string;
  /** As it was submitted; the same for every try where the provider dedupes. */
  readonly idempotencyKey: string;
  readonly heldAt: EpochMs;
  /** No answer by then: none. */
  readonly deadline: EpochMs;
}

/** What a provider says of an attempt. */
export type Finding =
  | {
      readonly kind: 'reported';
      readonly state: 'accepted' | 'delivered' | 'failed';
      readonly class: FailureClass | null;
      readonly providerCode: string | null;
      readonly providerMessageId: string | null;
      readonly units: number | null;
      /** The provider's own time: milliseconds since the epoch, 0 where it names none. */
      readonly reportedAt: EpochMs;
    }
  /** It has no such attempt (yet). */
  | { readonly kind: 'not_found' }
  /** It could not be asked, or said nothing that means anything. */
  | { readonly kind: 'no_answer'; readonly code: string | null };

export interface Inquired {
  readonly call: Inquiry;
  readonly finding: Finding;
  readonly answeredAt: EpochMs;
}

export interface Inquiries {
  /** Asks, one answer a call, as they come. A provider's failure is an answer; it does not throw. */
  readonly inquire: (calls: readonly Inquiry[]) => AsyncIterable<Inquired>;
}

/** A record that may be sent again, to its own lane. */
export interface Resend {
  readonly lane: Lane;
  readonly routed: MessageRouted;
}

export interface Unknown extends Contract {
  /** internal.unknown: whole records of held attempts; null once one is resolved. */
  readonly from: { readonly unknown: MessageRouted | null };
  readonly to: {
    /** What the provider said, or that nobody will: decided once by the receipts stage. */
    readonly receipts: ProviderReceipt;
    /** Only where the provider refuses a second submit under the same key. */
    readonly retry: Resend;
    readonly feedback: DeliveryFeedback;
    readonly resolved: MessageRouted | null;
  };
  readonly state: { readonly waiting: Waiting };
  readonly tables: { readonly config: ConfigEntry };
  readonly ports: { readonly inquiries: Inquiries };
  readonly call: Inquiry;
  readonly answer: Inquired;
}
