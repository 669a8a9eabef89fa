import type {
  DeliveryState,
  FailureClass,
  SettlementKind,
} from '../../schemas/generated/records.js';

/** What a provider's answer to one call came to. Adapters map their provider's own codes to these. */
export type Outcome =
  | {
      readonly kind: 'accepted' | 'delivered';
      readonly providerMessageId: string | null;
      readonly providerCode: string | null;
    }
  | {
      /** Known not to have been delivered, and whose fault it is. */
      readonly kind: 'failed.recipient' | 'failed.content' | 'failed.account' | 'failed.provider';
      readonly providerCode: string | null;
    }
  | {
      /** Refused for its rate; retryAfterMs where the provider says when. */
      readonly kind: 'throttled';
      readonly retryAfterMs: number | null;
      readonly providerCode: string | null;
    }
  | {
      /** timeout: the request was written and no answer came. unknown: an answer came that says nothing. */
      readonly kind: 'timeout' | 'unknown';
      readonly providerCode: string | null;
    }
  | {
      /** The request was never written: no attempt was made. */
      readonly kind: 'not_called';
    };

export type OutcomeKind = Outcome['kind'];

/** What follows when an attempt ended so. */
export type Next =
  /** Nothing: it is done, or waits for a receipt. */
  | 'none'
  /** The same provider again through a retry topic, then the next route, then failed. */
  | 'retry'
  /** The next route at once, then failed. */
  | 'fail-over'
  /** The provider's `unknownOutcome` policy: again under the same key where it dedupes, else held. */
  | 'resolve'
  /** Put back without counting an attempt. */
  | 'divert';

export interface OutcomeRule {
  /** null: no feedback. */
  readonly state: DeliveryState | null;
  readonly class: FailureClass | null;
  /** Where nothing follows any more. `receipts`: unless the provider reports deliveries later. */
  readonly terminal: boolean | 'receipts';
  readonly next: Next;
  /** What a terminal one means for money; while something follows it is none. */
  readonly settlement: SettlementKind;
}

/** The published table (docs/channels.md): outcome → state, class, terminal, what follows, money. */
export const OUTCOMES = {
  accepted: {
    state: 'accepted',
    class: null,
    terminal: 'receipts',
    next: 'none',
    settlement: 'post',
  },
  delivered: { state: 'delivered', class: null, terminal: true, next: 'none', settlement: 'post' },
  'failed.recipient': {
    state: 'failed',
    class: 'recipient',
    terminal: true,
    next: 'none',
    settlement: 'void',
  },
  'failed.content': {
    state: 'failed',
    class: 'content',
    terminal: true,
    next: 'none',
    settlement: 'void',
  },
  'failed.account': {
    state: 'failed',
    class: 'account',
    terminal: true,
    next: 'fail-over',
    settlement: 'void',
  },
  'failed.provider': {
    state: 'failed',
    class: 'provider',
    terminal: true,
    next: 'retry',
    settlement: 'void',
  },
  throttled: {
    state: 'failed',
    class: 'throttled',
    terminal: true,
    next: 'retry',
    settlement: 'void',
  },
  timeout: {
    state: 'held',
    class: 'timeout',
    terminal: false,
    next: 'resolve',
    settlement: 'none',
  },
  unknown: {
    state: 'held',
    class: 'unknown',
    terminal: false,
    next: 'resolve',
    settlement: 'none',
  },
  not_called: { state: null, class: null, terminal: false, next: 'divert', settlement: 'none' },
} as const satisfies Record<OutcomeKind, OutcomeRule>;
