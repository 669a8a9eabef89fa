import type { RecipientHash } from '../processors/recipient-hash.js';
import { unknown } from '../processors/unknown/unknown.js';
import { stage, topology } from './topology.js';
import type { TypedTopics } from './topics.js';

/** Attempts whose outcome nobody knows, until a query, a receipt, a person or their horizon ends them. */
export const resolving = (
  topics: TypedTopics,
  options: { readonly recipientHash: RecipientHash },
) => {
  const { receipts, feedback, config } = topics;
  return topology('unknown', [
    [
      stage(unknown(options), {
        from: { unknown: topics.unknownResolved },
        to: { receipts, feedback, retry: topics.resend, resolved: topics.unknownResolved },
        state: { waiting: topics.unknownWaiting },
        tables: { config },
      }),
    ],
  ]);
};
