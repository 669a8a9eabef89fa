import type { BreakerLevel, ChannelWindow } from '../../schemas/generated/records.js';
import type { PartitionSlice } from '../../schemas/record.js';
import { influxQl } from './influxql.js';
import { levelPoint, windowPoint } from './points.js';
import type { InfluxSettings } from './settings.js';
import { pointKey, storedRevisions } from './stored-revisions.js';
import { writePoints } from './write-points.js';

/**
 * Stores windows. Writing one again overwrites it with the same, so offsets need no place here; a lower revision is
 * never written over a higher, which a re-read of `windows` would otherwise do.
 */
export const channelWindowWriter = (settings: InfluxSettings) => {
  const ask = influxQl(settings);
  const write = writePoints(settings);
  /** @throws PipelineError influx_unavailable, influx_refused */
  return async (windows: readonly ChannelWindow[]): Promise<void> => {
    const newest = new Map<string, ChannelWindow>();
    for (const window of windows) {
      const key = pointKey(window);
      const before = newest.get(key);
      if (before === undefined || before.revision <= window.revision) newest.set(key, window);
    }
    if (newest.size === 0) return;
    const stored = await storedRevisions(ask, [...newest.values()]);
    const due = [...newest].filter(([key, { revision }]) => (stored.get(key) ?? 0) <= revision);
    await write(due.map(([, window]) => windowPoint(window)));
  };
};

/** What the `windows` worker writes to InfluxDB, shaped as the sink task gives it. */
export interface ChannelWindows {
  readonly writeWindows: (slices: readonly PartitionSlice<ChannelWindow>[]) => Promise<readonly []>;
  /** Changes of level; heartbeats say nothing new and are left out. */
  readonly writeLevels: (slices: readonly PartitionSlice<BreakerLevel>[]) => Promise<readonly []>;
  readonly close: () => Promise<void>;
}

const valuesOf = <V>(slices: readonly PartitionSlice<V>[]): readonly V[] =>
  slices.flatMap(({ records }) => records.map(({ value }) => value));

/** Neither write moves a partition to another owner: offsets are the group's, committed after the write. */
export const channelWindows = (settings: InfluxSettings): ChannelWindows => {
  const writeWindows = channelWindowWriter(settings);
  const write = writePoints(settings);
  return {
    writeWindows: async (slices) => {
      await writeWindows(valuesOf(slices));
      return [];
    },
    writeLevels: async (slices) => {
      await write(
        valuesOf(slices)
          .filter(({ heartbeat }) => !heartbeat)
          .map(levelPoint),
      );
      return [];
    },
    // Nothing is kept back: what was written is stored, the rest is read again from Kafka.
    close: () => Promise.resolve(),
  };
};
