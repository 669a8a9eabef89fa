import type { EpochMs } from '../../schemas/brand.js';
import type { ProviderConfig, TemplateConfig, TenantConfig } from '../../schemas/config.js';
import type {
  BreakerLevel,
  ConfigEntry,
  DeliveryFeedback,
  Lane,
  MessageRefused,
  MessageRouted,
  Parked,
  ProviderReceipt,
} from '../../schemas/generated/records.js';
import type { Contract } from '../processor.js';
import type { Claim } from './claim.js';
import type { Outcome } from './outcomes.js';

/** One call of a provider, claimed and committed. */
export interface ProviderCall {
  /** Store key of its claim. */
  readonly claim: string;
  readonly lane: Lane;
  readonly routed: MessageRouted;
  /** Its provider as configured when it was claimed. */
  readonly provider: ProviderConfig;
  readonly template: TemplateConfig | null;
  readonly tenant: TenantConfig | null;
  /** Share of the provider's rate that the breaker leaves, 0 < x <= 1. */
  readonly rateFactor: number;
  /** What the provider may dedupe on; the same for every try where `provider.dedupesOnKey`. */
  readonly idempotencyKey: string;
  /** tenant|messageId|generation|attempt: what a receipt brings back. */
  readonly reference: string;
  /** The claim's: nothing of the call happens after it. When the call itself times out is its provider's to say. */
  readonly deadline: EpochMs;
}

export interface ProviderAnswer {
  readonly call: ProviderCall;
  readonly outcome: Outcome;
  /** When the request was written: milliseconds since the epoch, our clock. */
  readonly calledAt: EpochMs;
  /** When we took the answer, or gave up. */
  readonly answeredAt: EpochMs;
}

/** A record that would be called; what admission is asked about. */
export interface AdmissionRequest {
  readonly channel: string;
  readonly provider: ProviderConfig;
  readonly lane: Lane;
  readonly rateFactor: number;
}

/** How long a record would wait at its provider's bulkhead and pace in this process, in milliseconds. */
export interface Admission {
  readonly waitMs: number;
}

/** The providers behind their bulkheads, one instance a process. */
export interface Providers {
  /** In memory, in order; counts the batch's earlier records. null asks nothing (expired, not configured). */
  readonly admit: (requests: readonly (AdmissionRequest | null)[]) => readonly Admission[];
  /**
   * Calls and answers as they come, one answer a call. Never throws for a provider's failure. Once stopped, what
   * has not been written is answered `not_called`.
   */
  readonly perform: (calls: readonly ProviderCall[]) => AsyncIterable<ProviderAnswer>;
}

export interface Send extends Contract {
  /** The same processor runs over routed.* and retry.* (the runtime waits until dueAt). */
  readonly from: { readonly routed: MessageRouted };
  readonly to: {
    readonly feedback: DeliveryFeedback;
    readonly retry: MessageRouted;
    readonly parked: Parked;
    readonly refused: MessageRefused;
    /** internal.unknown, key tenant|messageId|generation|attempt|lane. */
    readonly unknown: MessageRouted;
    /** Late answers: what a call said after its partition was lost. */
    readonly receipts: ProviderReceipt;
  };
  readonly state: { readonly claims: Claim };
  readonly tables: { readonly levels: BreakerLevel; readonly config: ConfigEntry };
  readonly ports: { readonly providers: Providers };
  readonly fact: Admission;
  readonly call: ProviderCall;
  readonly answer: ProviderAnswer;
}
