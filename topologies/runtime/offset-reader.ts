import type { RawRecord, TopicPartition } from './raw-record.js';
import { type ClientSettings, ConsumerClient } from './rdkafka-client.js';

const CONNECT_DEADLINE_MS = 5_000;
/** Reading a block takes milliseconds; what takes so long is asked for again. */
const READ_DEADLINE_MS = 10_000;
const BATCH = 2_000;
/** Offsets that lie closer are read through: a seek costs about as much as so many records. */
const READ_THROUGH = 2_000;

/** Reads records by their offsets, one partition at a time; joins no group and commits nothing. */
export class OffsetReader {
  private readonly consumer: ConsumerClient;
  private connected: Promise<void> | null = null;
  private queue: Promise<unknown> = Promise.resolve();
  /** End-of-partition events so far. */
  private ends = 0;
  private closed = false;

  /** @param groupId names the reader for the broker's ACLs */
  constructor(client: ClientSettings, groupId: string) {
    this.consumer = new ConsumerClient({
      ...client,
      'group.id': groupId,
      'isolation.level': 'read_committed',
      // Few records at a time are wanted: what is fetched beyond them is thrown away.
      'queued.max.messages.kbytes': 4_096,
    });
    this.consumer.native.on('partition.eof', () => {
      this.ends += 1;
    });
  }

  get closing(): boolean {
    return this.closed;
  }

  /**
   * The wanted records, offsets ascending; fewer where retention took them. Several readings wait for each other.
   * @throws Error where Kafka does not answer in time
   */
  read(from: TopicPartition, offsets: readonly number[]): Promise<RawRecord[]> {
    const turn = this.queue.then(() => this.one(from, offsets));
    this.queue = turn.catch(() => undefined);
    return turn;
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.queue;
    await this.consumer.disconnect(CONNECT_DEADLINE_MS);
  }

  private async one(from: TopicPartition, offsets: readonly number[]): Promise<RawRecord[]> {
    await this.connect();
    const raw: RawRecord[] = [];
    for (const run of runs(offsets)) raw.push(...(await this.run(from, run)));
    return raw;
  }

  private async connect(): Promise<void> {
    this.connected ??= this.consumer.connect(CONNECT_DEADLINE_MS);
    try {
      await this.connected;
    } catch (error) {
      this.connected = null;
      throw error;
    }
  }

  /** The wanted records from the first to the last. */
  private async run(
    { topic, partition }: TopicPartition,
    wanted: readonly number[],
  ): Promise<RawRecord[]> {
    const first = wanted[0] ?? 0;
    const last = wanted.at(-1) ?? first;
    const offsets = new Set(wanted);
    const found: RawRecord[] = [];
    const deadline = Date.now() + READ_DEADLINE_MS;
    const ends = this.ends;
    this.consumer.native.assign([{ topic, partition, offset: first }]);
    try {
      for (let seen = -1; seen < last && this.ends === ends;) {
        if (this.closed || Date.now() > deadline)
          throw new Error(`${topic}/${String(partition)}: offset ${String(last)} was not reached`);
        for (const record of await this.consumer.take(BATCH, 100)) {
          seen = record.at.offset;
          if (offsets.delete(seen)) found.push(record);
        }
      }
    } finally {
      if (this.consumer.native.isConnected()) this.consumer.native.unassign();
    }
    if (offsets.size > 0) await this.requireGone({ topic, partition }, offsets);
    return found;
  }

  /** The end may have been an earlier reading's: only what the log itself no longer holds is given up. */
  private async requireGone(
    partition: TopicPartition,
    offsets: ReadonlySet<number>,
  ): Promise<void> {
    const { low, high } = await this.consumer.watermarks(partition, CONNECT_DEADLINE_MS);
    const there = [...offsets].filter((offset) => offset >= low && offset < high);
    if (there.length > 0)
      throw new Error(
        `${partition.topic}/${String(partition.partition)}: offset ${String(there[0])} was not read`,
      );
  }
}

/** Ascending offsets in stretches that are read in one go. */
const runs = (offsets: readonly number[]): readonly number[][] => {
  const stretches: number[][] = [];
  for (const offset of offsets) {
    const stretch = stretches.at(-1);
    const before = stretch?.at(-1);
    if (stretch === undefined || before === undefined || offset - before > READ_THROUGH)
      stretches.push([offset]);
    else stretch.push(offset);
  }
  return stretches;
};
