import type { BreakerLevel, ChannelWindow } from '../../schemas/generated/records.js';
import type { Codecs } from '../../schemas/topic-codecs.js';
import type { ClientSettings } from '../../topologies/runtime/rdkafka-client.js';
import { readRange } from '../../topologies/runtime/range-reader.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import { readDecoded } from '../read/decoded.js';

export interface Reading {
  readonly settings: ClientSettings;
  readonly codecs: Codecs;
  readonly spec: (name: string) => TopicSpec;
}

const HOUR_MS = 3_600_000;

/** The newest level of each scope. */
export const latestLevels = async (
  { settings, codecs, spec }: Reading,
  topic: string,
): Promise<readonly BreakerLevel[]> => {
  const newest = new Map<string, BreakerLevel>();
  for await (const batch of readDecoded({ settings, codecs, topics: [spec(topic)] }))
    for (const { decoded } of batch)
      if (decoded.is === 'BreakerLevel') newest.set(decoded.value.scope, decoded.value);
  return [...newest.values()].sort((a, b) => a.scope.localeCompare(b.scope));
};

/** The newest window of each channel x provider x lane that closed within the last hour, in its last revision. */
export const latestWindows = async (
  { settings, codecs, spec }: Reading,
  topic: string,
): Promise<readonly ChannelWindow[]> => {
  const newest = new Map<string, ChannelWindow>();
  for await (const batch of readDecoded({
    settings,
    codecs,
    topics: [spec(topic)],
    from: { since: Date.now() - HOUR_MS },
  }))
    for (const { decoded } of batch) {
      if (decoded.is !== 'ChannelWindow' || decoded.value.series !== 'channel') continue;
      const { channel, provider, lane } = decoded.value;
      const key = `${channel}/${provider ?? ''}/${lane ?? ''}`;
      const before = newest.get(key);
      if (before === undefined || before.windowStart <= decoded.value.windowStart)
        newest.set(key, decoded.value);
    }
  return [...newest.entries()].sort(([a], [b]) => a.localeCompare(b)).map(([, window]) => window);
};

/** How many records a topic holds now. */
export const countRecords = async (settings: ClientSettings, topic: string): Promise<number> => {
  let count = 0;
  for await (const batch of readRange({ settings, topics: [topic] })) count += batch.length;
  return count;
};
