import type { EpochMs } from '../../schemas/brand.js';
import { isRetry, PipelineError } from '../../schemas/error.js';
import type { PartitionSlice, Topic } from '../../schemas/record.js';
import { type PartitionId, type TopicPartition, partitionId } from './raw-record.js';
import type { Sink } from './sink-task.js';

/** One of the effects of a sink: always with offsets of its own, and told when it has caught up. */
export interface Effect<V> extends Pick<Sink<V>, 'topics' | 'write'> {
  readonly load: NonNullable<Sink<V>['load']>;
  readonly caughtUp: NonNullable<Sink<V>['caughtUp']>;
}

/** An effect, and how far each partition's records have reached it. */
class Positioned<V> {
  private readonly effect: Effect<V>;
  private readonly names: ReadonlySet<string>;
  private readonly positions = new Map<PartitionId, number>();

  constructor(effect: Effect<V>) {
    this.effect = effect;
    this.names = new Set(effect.topics.map(({ name }) => name));
  }

  /** By partition; those of other effects' topics are left out. */
  async load(
    partitions: Parameters<Effect<V>['load']>[0],
  ): Promise<ReadonlyMap<PartitionId, number>> {
    const own = this.own(partitions);
    const stored = own.length === 0 ? [] : await this.effect.load(own);
    const loaded = new Map(
      own.map((one, index) => [partitionId(one), stored[index] ?? one.beginning]),
    );
    for (const [id, position] of loaded) this.positions.set(id, position);
    return loaded;
  }

  async write(slices: readonly PartitionSlice<V>[]): Promise<readonly TopicPartition[]> {
    const rest = this.own(slices).flatMap((slice) => this.rest(slice));
    if (rest.length === 0) return [];
    const lost = await this.effect.write(rest);
    if (lost.length === 0)
      for (const slice of rest) this.positions.set(partitionId(slice), slice.next);
    return lost;
  }

  async caughtUp(partitions: readonly TopicPartition[], at: EpochMs): Promise<void> {
    const own = this.own(partitions);
    if (own.length > 0) await this.effect.caughtUp(own, at);
  }

  private own<P extends TopicPartition>(partitions: readonly P[]): readonly P[] {
    return partitions.filter(({ topic }) => this.names.has(topic));
  }

  /** What this effect has not had yet: a slice comes again, whole, where another effect has not taken it. */
  private rest(slice: PartitionSlice<V>): readonly PartitionSlice<V>[] {
    const start = this.positions.get(partitionId(slice)) ?? slice.start;
    if (start <= slice.start) return [slice];
    if (start >= slice.next) return [];
    return [{ ...slice, start, records: slice.records.filter(({ at }) => at.offset >= start) }];
  }
}

/**
 * A sink of several effects: one consumer reads and decodes each record once for all of them. Each effect stores its
 * own offsets, so each has every record once, also where one is refused, lost or behind while another went on: what
 * comes again is cut to what each has not had.
 * @throws PipelineError defect, where two effects name a topic and mean different codecs
 */
export const oneReader = <V>(
  name: string,
  effects: readonly Effect<V>[],
): Effect<V> & Pick<Sink<V>, 'name'> => {
  const topics = new Map<string, Topic<V>>();
  for (const topic of effects.flatMap((effect) => effect.topics)) {
    const known = topics.get(topic.name) ?? topic;
    if (known.codec !== topic.codec)
      throw new PipelineError('defect', `${name} reads ${topic.name} with two codecs`);
    topics.set(topic.name, known);
  }
  const all = effects.map((effect) => new Positioned(effect));
  return {
    name,
    topics: [...topics.values()],

    async load(partitions) {
      const loaded = await Promise.all(all.map((effect) => effect.load(partitions)));
      return partitions.map((one) => {
        const id = partitionId(one);
        return Math.min(...loaded.flatMap((positions) => positions.get(id) ?? []));
      });
    },

    async write(slices) {
      const written = await Promise.allSettled(all.map((effect) => effect.write(slices)));
      // All have ended: none goes on behind a retry. A stop is more than a retry.
      const failures = written.flatMap((one) =>
        one.status === 'rejected' ? [one.reason as unknown] : [],
      );
      if (failures.length > 0) throw failures.find((failure) => !isRetry(failure)) ?? failures[0];
      const lost = written.flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
      return [...new Map(lost.map((one) => [partitionId(one), one])).values()];
    },

    async caughtUp(partitions, at) {
      await Promise.all(all.map((effect) => effect.caughtUp(partitions, at)));
    },
  };
};
