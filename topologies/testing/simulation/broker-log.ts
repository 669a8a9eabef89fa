import {
  type RawRecord,
  type TopicPartition,
  type Write,
  partitionId,
} from '../../runtime/raw-record.js';

/** A transaction's records in one partition: markers land per partition, so each ends by itself (KAFKA-10167). */
export interface Span {
  state: 'open' | 'committed' | 'aborted';
  readonly first: number;
}

interface Entry {
  /** null: a transaction marker; it takes an offset. */
  readonly raw: RawRecord | null;
  /** null: written outside of transactions. */
  readonly span: Span | null;
}

/** One partition as a broker keeps it. */
export class PartitionLog {
  readonly at: TopicPartition;
  private readonly entries: Entry[] = [];
  private readonly open = new Set<Span>();

  constructor(at: TopicPartition) {
    this.at = at;
  }

  get end(): number {
    return this.entries.length;
  }

  /** The last stable offset: before it no transaction is open. */
  get stable(): number {
    let least = this.entries.length;
    for (const { first } of this.open) if (first < least) least = first;
    return least;
  }

  begin(): Span {
    const span: Span = { state: 'open', first: this.entries.length };
    this.open.add(span);
    return span;
  }

  append(write: Write, span: Span | null, now: number): void {
    this.entries.push({
      raw: {
        at: { ...this.at, offset: this.entries.length },
        key: typeof write.key === 'string' ? Buffer.from(write.key) : write.key,
        value: write.value,
        timestamp: now,
        headers: write.headers ?? {},
      },
      span,
    });
  }

  finish(span: Span, state: 'committed' | 'aborted'): void {
    span.state = state;
    this.open.delete(span);
    this.entries.push({ raw: null, span: null });
  }

  /** Records from an offset on as an isolation shows them, at most max; `next` is where the following read begins. */
  read(
    from: number,
    max: number,
    isolation: string,
  ): { readonly records: RawRecord[]; readonly next: number } {
    const end = isolation === 'read_uncommitted' ? this.end : this.stable;
    const records: RawRecord[] = [];
    let next = from;
    while (next < end && records.length < max) {
      const entry = this.entries[next];
      next += 1;
      if (entry?.raw == null) continue;
      if (entry.span?.state === 'aborted' && isolation !== 'read_uncommitted') continue;
      records.push(entry.raw);
    }
    return { records, next };
  }
}

/** Topics of partitions, made when first named. */
export class BrokerLog {
  readonly partitionCount: number;
  private readonly partitions = new Map<string, PartitionLog>();

  constructor(partitionCount: number) {
    this.partitionCount = partitionCount;
  }

  partition(at: TopicPartition): PartitionLog {
    const id = partitionId(at);
    let found = this.partitions.get(id);
    if (found === undefined)
      this.partitions.set(
        id,
        (found = new PartitionLog({ topic: at.topic, partition: at.partition })),
      );
    return found;
  }

  partitionsOf(topic: string): TopicPartition[] {
    return Array.from({ length: this.partitionCount }, (_, partition) => ({ topic, partition }));
  }

  /** Everything a read_committed reader sees of a topic. */
  committed(topic: string): RawRecord[] {
    return this.partitionsOf(topic).flatMap(
      (at) => this.partition(at).read(0, Number.MAX_SAFE_INTEGER, 'read_committed').records,
    );
  }

  of(write: Write): PartitionLog {
    return this.partition({
      topic: write.topic,
      partition: write.partition ?? this.partitionOf(write.key),
    });
  }

  *all(): Generator<PartitionLog> {
    yield* this.partitions.values();
  }

  /** Stable and spread; not Kafka's hash, on which nothing here depends. */
  private partitionOf(key: Buffer | string | null): number {
    let hash = 0;
    for (const byte of Buffer.from(key ?? '')) hash = (hash * 31 + byte) >>> 0;
    return hash % this.partitionCount;
  }
}
