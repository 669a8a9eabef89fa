import type { EpochMs } from '../../schemas/brand.js';
import { PipelineError } from '../../schemas/error.js';
import type { Topic } from '../../schemas/record.js';
import { type Shard, storeKey } from './chain.js';
import type { RawRecord, TopicPartition } from './raw-record.js';
import { partitionId } from './raw-record.js';
import type { Restoring } from './state-store.js';

export interface RestoreOptions {
  /** `<stage>/<store>` to its changelog. */
  readonly changelogs: ReadonlyMap<string, Topic<unknown>>;
  /** Every record of a changelog's partition, oldest first. */
  readonly read: (
    partition: TopicPartition,
    visit: (record: Pick<RawRecord, 'key' | 'value'>) => void,
  ) => Promise<void>;
  /** Fetches the schemas that these values need. */
  readonly prepare: (values: readonly Buffer[]) => Promise<void>;
  readonly now: EpochMs;
}

interface Source {
  readonly partition: TopicPartition;
  readonly stores: { readonly shard: Shard; readonly restoring: Restoring }[];
}

/**
 * State as its changelogs have it. A changelog's partition is read once, whichever number of source topics share it.
 * @throws PipelineError kafka_unavailable: the stores of that changelog are then as they were before
 */
export const restoreShards = async (
  shards: readonly Shard[],
  { changelogs, read, prepare, now }: RestoreOptions,
): Promise<void> => {
  const sources = new Map<string, Source>();
  for (const shard of shards) {
    for (const { stage, store, staged } of shard.all()) {
      const changelog = changelogs.get(`${stage}/${store}`);
      if (changelog === undefined)
        throw new PipelineError('defect', `${stage} has no changelog for ${store}`);
      const partition = { topic: changelog.name, partition: shard.partition };
      const id = partitionId(partition);
      let source = sources.get(id);
      if (source === undefined) sources.set(id, (source = { partition, stores: [] }));
      source.stores.push({ shard, restoring: staged.restoring(changelog.codec, now) });
    }
  }
  for (const { partition, stores } of sources.values()) {
    await read(partition, ({ key, value }) => {
      const text = key?.toString('utf8') ?? '';
      for (const { shard, restoring } of stores) {
        const own = storeKey(shard.topic, text);
        if (own !== null) restoring.take(own, value);
      }
    });
    // Another release may have written it, a newer one too while it is rolled out: its schemas first.
    await prepare(stores.flatMap(({ restoring }) => restoring.values()));
    for (const { restoring } of stores) restoring.done();
  }
};
