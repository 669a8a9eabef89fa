import { leasedReserve } from '../processors/budget-reserve/leased-reserve.js';
import { dedupe } from '../processors/dedupe/dedupe.js';
import type { RecipientHash } from '../processors/recipient-hash.js';
import { route } from '../processors/route/route.js';
import { send } from '../processors/send/send.js';
import type { Lane } from '../schemas/generated/records.js';
import { stage, topology } from './topology.js';
import type { TypedTopics } from './topics.js';

export interface DeliveryOptions {
  readonly recipientHash: RecipientHash;
  readonly topicPrefix: string;
}

/** Decides and pays: dedupe, budget-reserve and route are one task and one transaction. */
export const intake = (lane: Lane, topics: TypedTopics, options: DeliveryOptions) => {
  const { ingest, deduped, reserved, routed, parked, seen, leases, spends, again } =
    topics.lane(lane);
  const { refused, levels, config, accounts } = topics;
  return topology(`intake.${lane}`, [
    [
      stage(dedupe(options), {
        from: { ingest },
        to: { deduped, parked, refused },
        state: { seen },
        tables: { config },
      }),
      stage(leasedReserve(options), {
        from: { deduped },
        to: { reserved, refused, spends, diverted: again.deduped },
        state: { leases },
        tables: { config, accounts },
      }),
      stage(route(options), {
        from: { reserved },
        to: { routed, refused },
        tables: { config, levels },
      }),
    ],
  ]);
};

/** Sends: first tries, and in a task of its own what waits in the retry topics. */
export const sending = (lane: Lane, topics: TypedTopics, options: DeliveryOptions) => {
  const { routed, retry, parked, claims, claimsRetry } = topics.lane(lane);
  const { feedback, refused, unknown, receipts, levels, config } = topics;
  const to = { feedback, retry, parked, refused, unknown, receipts };
  const tables = { levels, config };
  return topology(`send.${lane}`, [
    [stage(send({ ...options, lane }), { from: { routed }, to, state: { claims }, tables })],
    [
      stage(send({ ...options, lane }), {
        from: { routed: retry },
        to,
        state: { claims: claimsRetry },
        tables,
      }),
    ],
  ]);
};
