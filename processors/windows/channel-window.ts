import type { EpochMs } from '../../schemas/brand.js';
import type { ChannelWindow } from '../../schemas/generated/records.js';
import { addCounts, noCounts } from './counts.js';
import { errorRate } from './error-rate.js';
import type { MergedWindow } from './merge-state.js';
import type { Partial } from './partial.js';
import { emptySketch, mergeSketch, openSketch, quantiles } from './sketch.js';

/** A window as written: the sum of its source partitions' newest snapshots. */
export const channelWindow = (
  { series, channel, provider, lane, tenantId, windowStart, windowMs }: MergedWindow,
  snapshots: readonly Partial[],
  written: { readonly revision: number; readonly complete: boolean; readonly closedAt: EpochMs },
): ChannelWindow => {
  const counts = noCounts();
  const latency = emptySketch();
  const queueAge = emptySketch();
  for (const snapshot of snapshots) {
    addCounts(counts, snapshot.counts);
    if (snapshot.latency !== null) mergeSketch(latency, openSketch(snapshot.latency));
    if (snapshot.queueAge !== null) mergeSketch(queueAge, openSketch(snapshot.queueAge));
  }
  const [latencyP50Ms = 0, latencyP95Ms = 0, latencyP99Ms = 0] = quantiles(
    latency,
    [0.5, 0.95, 0.99],
  );
  const [queueAgeP99Ms = 0] = quantiles(queueAge, [0.99]);
  return {
    series,
    channel,
    provider,
    lane,
    tenantId,
    windowStart,
    windowMs,
    ...written,
    ...counts,
    errorRate: errorRate(counts),
    latencyP50Ms,
    latencyP95Ms,
    latencyP99Ms,
    latencyMaxMs: latency.max,
    queueAgeP99Ms,
  };
};
