import { type PartitionId, type TopicPartition, partitionId } from './raw-record.js';
import type { PartitionOffset } from './rdkafka-client.js';

interface Owned extends TopicPartition {
  /** Grows with every assignment: work taken under an older one must not enter a transaction (rule 4). */
  readonly epoch: number;
  /** The next offset as Kafka has it: committed by us, or where reading began. */
  position: number;
  /** Deferred until then (epoch ms): its first waiting record is not due. */
  deferredUntil: number | null;
}

/** What this member owns, and from when. */
export class Assignment {
  private readonly owned = new Map<PartitionId, Owned>();
  private epochs = 0;

  add(offsets: readonly PartitionOffset[]): void {
    for (const { topic, partition, offset } of offsets) {
      this.epochs += 1;
      this.owned.set(partitionId({ topic, partition }), {
        topic,
        partition,
        epoch: this.epochs,
        position: offset,
        deferredUntil: null,
      });
    }
  }

  remove(partitions: readonly TopicPartition[]): void {
    for (const one of partitions) this.owned.delete(partitionId(one));
  }

  epoch(id: PartitionId): number | undefined {
    return this.owned.get(id)?.epoch;
  }

  position(id: PartitionId): PartitionOffset | undefined {
    const found = this.owned.get(id);
    return found && { topic: found.topic, partition: found.partition, offset: found.position };
  }

  moved(offsets: readonly PartitionOffset[]): void {
    for (const one of offsets) {
      const found = this.owned.get(partitionId(one));
      if (found) found.position = one.offset;
    }
  }

  defer(id: PartitionId, untilMs: number | null): void {
    const found = this.owned.get(id);
    if (found) found.deferredUntil = untilMs;
  }

  /** Partitions whose deferral has passed; they are no longer deferred. */
  due(nowMs: number): TopicPartition[] {
    const found = [...this.owned.values()].filter(
      (one) => one.deferredUntil !== null && one.deferredUntil <= nowMs,
    );
    for (const one of found) one.deferredUntil = null;
    return found;
  }

  get deferred(): readonly TopicPartition[] {
    return [...this.owned.values()].filter((one) => one.deferredUntil !== null);
  }

  get partitions(): readonly TopicPartition[] {
    return [...this.owned.values()];
  }

  get positions(): readonly PartitionOffset[] {
    return [...this.owned.values()].map(({ topic, partition, position }) => ({
      topic,
      partition,
      offset: position,
    }));
  }
}
