import type { Coordinates } from '../schemas/record.js';
import { originGroup } from './origin-group.js';
import { type ClientSettings, ConsumerClient } from './runtime/rdkafka-client.js';
import { partitionId, type TopicPartition } from './runtime/raw-record.js';
import { topicNames } from './topic-names.js';

const DEADLINE_MS = 10_000;

/** Which records their own group has taken: what it has not is to come, and not to be repeated. */
export class TakenOffsets {
  private readonly options: { readonly client: ClientSettings; readonly prefix: string };
  private readonly committed = new Map<string, number>();

  constructor(options: { readonly client: ClientSettings; readonly prefix: string }) {
    this.options = options;
  }

  /** Once a partition: what was taken stays taken. @throws as the client does */
  async lookUp(origins: readonly TopicPartition[]): Promise<void> {
    const { client, prefix } = this.options;
    const names = topicNames(prefix);
    const unknown = new Map<string, Map<string, TopicPartition>>();
    for (const { topic, partition } of origins) {
      const id = partitionId({ topic, partition });
      if (this.committed.has(id)) continue;
      const group = originGroup(topic, prefix, names);
      // Nobody reads it: what lies there was handed on in the transaction that wrote it.
      if (group === null) {
        this.committed.set(id, Infinity);
        continue;
      }
      const of = unknown.get(group) ?? new Map<string, TopicPartition>();
      unknown.set(group, of.set(id, { topic, partition }));
    }
    for (const [group, partitions] of unknown) {
      const consumer = new ConsumerClient({ ...client, 'group.id': group });
      try {
        await consumer.connect(DEADLINE_MS);
        for (const one of await consumer.committed([...partitions.values()], DEADLINE_MS))
          this.committed.set(partitionId(one), one.offset ?? 0);
      } finally {
        await consumer.disconnect(DEADLINE_MS);
      }
    }
  }

  /** After it was looked up. */
  has({ topic, partition, offset }: Coordinates): boolean {
    return offset < (this.committed.get(partitionId({ topic, partition })) ?? 0);
  }
}
