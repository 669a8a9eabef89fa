import type { BreakerLevel } from '../../schemas/generated/records.js';
import type { PartitionSlice, Topic } from '../../schemas/record.js';
import { levelPoint } from './points.js';
import type { InfluxSettings } from './settings.js';
import { writePoints } from './write-points.js';

/** Stores changes of level as a sink of `breaker.levels`. Heartbeats say nothing new and are left out. */
export const breakerLevelSink = (
  settings: InfluxSettings,
  levels: Topic<BreakerLevel>,
): {
  readonly name: string;
  readonly topics: readonly Topic<BreakerLevel>[];
  readonly load: null;
  readonly write: (slices: readonly PartitionSlice<BreakerLevel>[]) => Promise<readonly never[]>;
} => {
  const write = writePoints(settings);
  return {
    name: 'influx-levels',
    topics: [levels],
    load: null,
    write: async (slices) => {
      const changes = slices
        .flatMap(({ records }) => records.map(({ value }) => value))
        .filter(({ heartbeat }) => !heartbeat);
      if (changes.length > 0) await write(changes.map(levelPoint));
      return [];
    },
  };
};
