import { breaker } from '../processors/breaker/breaker.js';
import { receipts } from '../processors/receipts/receipts.js';
import { windowMerge } from '../processors/windows/merge.js';
import { windowPartials } from '../processors/windows/partials.js';
import { stage, topology } from './topology.js';
import type { TypedTopics } from './topics.js';

/** Carrier reports to feedback: first tries, and in a task of its own those that came before their attempt was known. */
export const receiving = (topics: TypedTopics) => {
  const { feedback, config } = topics;
  const to = { feedback, retry: topics.retryReceipts, unknown: topics.unknownResolved };
  return topology('receipts', [
    [stage(receipts, { from: { receipts: topics.receipts }, to, tables: { config } })],
    [stage(receipts, { from: { receipts: topics.retryReceipts }, to, tables: { config } })],
  ]);
};

export interface MeasurementOptions {
  readonly feedbackPartitions: number;
  readonly partialsPartitions: number;
}

/** Windows in two hops (a slice per source partition, then a merge per series), and the breaker that they feed. */
export const measurement = (topics: TypedTopics, options: MeasurementOptions) => {
  const { feedback, partials, windows, levels, commands, config } = topics;
  return topology('windows', [
    [
      stage(windowPartials({ mergerPartitions: options.partialsPartitions }), {
        from: { feedback },
        to: { partials },
        state: { open: topics.windowsOpen },
        tables: { config },
      }),
    ],
    [
      stage(windowMerge({ sourcePartitions: options.feedbackPartitions }), {
        from: { partials },
        to: { windows },
        state: { merging: topics.windowsMerging },
        tables: { config },
      }),
    ],
    [
      stage(breaker, {
        from: { windows },
        to: { levels },
        state: { scopes: topics.breakerScopes },
        tables: { config, commands },
      }),
    ],
  ]);
};
