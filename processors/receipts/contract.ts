import type {
  ConfigEntry,
  DeliveryFeedback,
  MessageRouted,
  ProviderReceipt,
} from '../../schemas/generated/records.js';
import type { Contract } from '../processor.js';
import type { ReceiptAnswer, ReceiptLog } from './receipt-log.js';

export interface Receipts extends Contract {
  /** Runs over `receipts` and, once due, `retry.receipts`. */
  readonly from: { readonly receipts: ProviderReceipt };
  readonly to: {
    readonly feedback: DeliveryFeedback;
    /** retry.receipts: came before its attempt was known. */
    readonly retry: ProviderReceipt;
    /** internal.unknown: a tombstone once an unknown attempt is resolved. */
    readonly unknown: MessageRouted | null;
  };
  /** Billing and price of the attempt's provider. */
  readonly tables: { readonly config: ConfigEntry };
  readonly ports: { readonly receiptLog: ReceiptLog };
  readonly fact: ReceiptAnswer;
}
