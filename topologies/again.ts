import { budgetReserve } from '../processors/budget-reserve/budget-reserve.js';
import { comeBack } from '../processors/reentry/reentry.js';
import { release } from '../processors/release/release.js';
import { route } from '../processors/route/route.js';
import type { Lane } from '../schemas/generated/records.js';
import type { DeliveryOptions } from './delivery.js';
import { stage, topology } from './topology.js';
import type { TypedTopics } from './topics.js';

/**
 * Coming back in: what replay, redrive and release put on `again.*` is let in once and goes through the same stages as
 * everything else, in one transaction; and the releaser that puts there what was parked until a time.
 */
export const comingBack = (lane: Lane, topics: TypedTopics, options: DeliveryOptions) => {
  const { again, deduped, reserved, routed, parked, schedule } = topics.lane(lane);
  const { refused, levels, config } = topics;
  return topology(`again.${lane}`, [
    [
      stage(comeBack(options), {
        from: again,
        to: {
          deduped,
          routed,
          refused,
          requestBack: again.request,
          dedupedBack: again.deduped,
          reservedBack: again.reserved,
          routedBack: again.routed,
        },
        tables: { config },
      }),
      stage(budgetReserve(options), {
        from: { deduped },
        to: { reserved, refused },
        tables: { config },
      }),
      stage(route(options), {
        from: { reserved },
        to: { routed, refused },
        tables: { config, levels },
      }),
    ],
    [
      stage(release, {
        from: { parked },
        to: { deduped: again.deduped, routed: again.routed },
        state: { schedule },
      }),
    ],
  ]);
};
