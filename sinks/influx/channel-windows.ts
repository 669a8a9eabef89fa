import type { ChannelWindow } from '../../schemas/generated/records.js';
import type { PartitionSlice, Topic } from '../../schemas/record.js';
import { influxQl } from './influxql.js';
import { windowPoint } from './points.js';
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

/** The writer as a sink of `windows`. Its offsets are the group's, committed after the write. */
export const channelWindowSink = (
  settings: InfluxSettings,
  windows: Topic<ChannelWindow>,
): {
  readonly name: string;
  readonly topics: readonly Topic<ChannelWindow>[];
  readonly load: null;
  readonly write: (slices: readonly PartitionSlice<ChannelWindow>[]) => Promise<readonly never[]>;
} => {
  const write = channelWindowWriter(settings);
  return {
    name: 'influx-windows',
    topics: [windows],
    load: null,
    write: async (slices) => {
      await write(slices.flatMap(({ records }) => records.map(({ value }) => value)));
      return [];
    },
  };
};
