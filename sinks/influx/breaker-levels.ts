import type { BreakerLevel } from '../../schemas/generated/records.js';
import type { PartitionSlice, Topic } from '../../schemas/record.js';
import { levelPoint } from './points.js';
import type { InfluxSettings } from './settings.js';
import { writePoints } from './write-points.js';

/**
 * Stores changes of level. Heartbeats say nothing new and are left out.
 * @throws from what it answers: PipelineError influx_unavailable, influx_refused
 */
export const breakerLevelWriter = (settings: InfluxSettings) => {
  const write = writePoints(settings);
  return async (levels: readonly BreakerLevel[]): Promise<void> => {
    const changes = levels.filter(({ heartbeat }) => !heartbeat);
    if (changes.length > 0) await write(changes.map(levelPoint));
  };
};

/** Stores changes of level as a sink of `breaker.levels`. */
export const breakerLevelSink = (
  settings: InfluxSettings,
  levels: Topic<BreakerLevel>,
): {
  readonly name: string;
  readonly topics: readonly Topic<BreakerLevel>[];
  readonly load: null;
  readonly write: (slices: readonly PartitionSlice<BreakerLevel>[]) => Promise<readonly never[]>;
} => {
  const write = breakerLevelWriter(settings);
  return {
    name: 'influx-levels',
    topics: [levels],
    load: null,
    write: async (slices) => {
      await write(slices.flatMap(({ records }) => records.map(({ value }) => value)));
      return [];
    },
  };
};
