import type { Write } from './raw-record.js';

/** Of a batch's head and a record's own: 61 bytes and at most 36 (Kafka's record format v2), rounded up. */
const OVERHEAD_BYTES = 128;
/** A header's two lengths. */
const HEADER_OVERHEAD_BYTES = 10;
/** librdkafka's own default. */
const MAX_BATCH_BYTES = 1_000_000;

/** Bytes that a write takes in its topic, uncompressed, at most. */
export const sizeOf = ({ key, value, headers, moreHeaders }: Write): number => {
  const keyBytes = key === null ? 0 : typeof key === 'string' ? Buffer.byteLength(key) : key.length;
  let bytes = OVERHEAD_BYTES + keyBytes + (value?.length ?? 0);
  if (headers === undefined && moreHeaders === undefined) return bytes;
  for (const [name, one] of [...Object.entries(headers ?? {}), ...(moreHeaders ?? [])])
    bytes += HEADER_OVERHEAD_BYTES + Buffer.byteLength(name) + one.length;
  return bytes;
};

/**
 * max.message.bytes of topics: as our table has it, until a broker refuses a size; then as the cluster says. The
 * broker measures compressed batches, this counts uncompressed records: what it lets pass, the broker takes.
 */
export class TopicLimits {
  private limits: ReadonlyMap<string, number>;
  private readonly read: () => Promise<ReadonlyMap<string, number>>;

  constructor(
    limits: ReadonlyMap<string, number>,
    read: () => Promise<ReadonlyMap<string, number>> = () => Promise.resolve(new Map()),
  ) {
    this.limits = limits;
    this.read = read;
  }

  /** In bytes; a topic that is not ours has none. */
  of(topic: string): number {
    return this.limits.get(topic) ?? Number.POSITIVE_INFINITY;
  }

  /** Of a producer's batches, in bytes: what the smallest topic takes. */
  get batchBytes(): number {
    return Math.min(MAX_BATCH_BYTES, ...this.limits.values());
  }

  /** A broker refused a size: what does the cluster say now? @throws PipelineError kafka_unavailable */
  async refresh(): Promise<void> {
    this.limits = new Map([...this.limits, ...(await this.read())]);
  }
}
