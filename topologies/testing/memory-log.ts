import type { EpochMs } from '../../schemas/brand.js';
import { type RawRecord, type Write, partitionId } from '../runtime/raw-record.js';

/** Kafka as far as the driver needs it: topics of partitions of records, written in whole transactions. */
export class MemoryLog {
  private readonly partitions = new Map<string, RawRecord[]>();
  private readonly count: number;

  constructor(partitionCount: number) {
    this.count = partitionCount;
  }

  get partitionCount(): number {
    return this.count;
  }

  append(writes: readonly Write[], now: EpochMs): void {
    for (const write of writes) {
      const key = typeof write.key === 'string' ? Buffer.from(write.key) : write.key;
      const partition = write.partition ?? this.partitionOf(key);
      const records = this.records(write.topic, partition);
      records.push({
        at: { topic: write.topic, partition, offset: records.length },
        key,
        value: write.value,
        timestamp: now,
        headers: { ...write.headers, ...Object.fromEntries(write.moreHeaders ?? []) },
        ...(write.moreHeaders && {
          allHeaders: [...Object.entries(write.headers ?? {}), ...write.moreHeaders],
        }),
      });
    }
  }

  records(topic: string, partition: number): RawRecord[] {
    const id = partitionId({ topic, partition });
    let records = this.partitions.get(id);
    if (records === undefined) this.partitions.set(id, (records = []));
    return records;
  }

  /** All partitions of a topic, in partition order. */
  all(topic: string): readonly RawRecord[] {
    return Array.from({ length: this.count }, (_, partition) =>
      this.records(topic, partition),
    ).flat();
  }

  /** Stable and spread; not Kafka's hash, which no test of decisions depends on. */
  private partitionOf(key: Buffer | null): number {
    let hash = 0;
    for (const byte of key ?? []) hash = (hash * 31 + byte) >>> 0;
    return hash % this.count;
  }
}
