import type { EpochMs } from '../../schemas/brand.js';
import type { Coordinates, Headers } from '../../schemas/record.js';

/** Headers as Kafka has them: in order, and a name may occur more than once. */
export type HeaderList = readonly (readonly [name: string, value: Buffer])[];

/** A record as it lies in Kafka; nothing above the session sees the client's own types. */
export interface RawRecord {
  readonly at: Coordinates;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly timestamp: EpochMs;
  readonly headers: Headers;
  /** All headers in order, where a name occurs more than once; else absent. */
  readonly allHeaders?: HeaderList;
}

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** One record to be written. partition null: by key, murmur2, like every producer of ours. */
export interface Write {
  readonly topic: string;
  readonly partition: number | null;
  readonly key: Buffer | string | null;
  readonly value: Buffer | null;
  readonly headers?: Headers;
  /** Written after `headers`: for names that occur more than once. */
  readonly moreHeaders?: HeaderList;
}

/** Names a partition in maps. */
export type PartitionId = string;

/** Several are asked per record: made once per partition, by topic. */
const ids = new Map<string, PartitionId[]>();

export const partitionId = ({ topic, partition }: TopicPartition): PartitionId => {
  let ofTopic = ids.get(topic);
  if (ofTopic === undefined) ids.set(topic, (ofTopic = []));
  return (ofTopic[partition] ??= `${topic}/${partition.toString()}`);
};
