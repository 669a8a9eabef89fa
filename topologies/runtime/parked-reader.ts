import type { ParkedRecord, ReadAgain, WasRead } from '../../processors/release/release.js';
import type { Parked } from '../../schemas/generated/records.js';
import type { Topic } from '../../schemas/record.js';
import { type ClientSettings, ConsumerClient } from './rdkafka-client.js';
import type { RawRecord, TopicPartition } from './raw-record.js';

const CONNECT_DEADLINE_MS = 5_000;
/** Reading a block takes milliseconds; what takes so long is asked for again. */
const READ_DEADLINE_MS = 10_000;
const PAUSE_MS = 1_000;
const BATCH = 2_000;
/** Offsets that lie closer are read through: a seek costs about as much as so many records. */
const READ_THROUGH = 2_000;

export interface ParkedReaderOptions {
  readonly client: ClientSettings;
  /** Names the reader for the broker's ACLs; it joins no group. */
  readonly groupId: string;
  readonly prepare: (values: readonly (Buffer | null)[]) => Promise<void>;
  readonly onError: (error: unknown) => void;
}

/** Reads records by their offsets, one partition at a time, for all lanes of a worker. */
export class ParkedReader {
  private readonly consumer: ConsumerClient;
  private readonly options: ParkedReaderOptions;
  private connected: Promise<void> | null = null;
  private queue: Promise<unknown> = Promise.resolve();
  /** End-of-partition events so far. */
  private ends = 0;
  private closing = false;

  constructor(options: ParkedReaderOptions) {
    this.options = options;
    this.consumer = new ConsumerClient({
      ...options.client,
      'group.id': options.groupId,
      'isolation.level': 'read_committed',
      // Few records at a time are wanted: what is fetched beyond them is thrown away.
      'queued.max.messages.kbytes': 4_096,
    });
    this.consumer.native.on('partition.eof', () => {
      this.ends += 1;
    });
  }

  /** The port of one lane's releaser. */
  of(topic: Topic<Parked>): {
    readonly read: (calls: readonly ReadAgain[]) => AsyncIterable<WasRead>;
  } {
    return { read: (calls) => this.answers(topic, calls) };
  }

  async close(): Promise<void> {
    this.closing = true;
    await this.queue;
    await this.consumer.disconnect(CONNECT_DEADLINE_MS);
  }

  private async *answers(
    topic: Topic<Parked>,
    calls: readonly ReadAgain[],
  ): AsyncGenerator<WasRead> {
    for (const call of calls) {
      const turn = this.queue.then(() => this.one(topic, call));
      this.queue = turn;
      yield { call, records: await turn };
    }
  }

  private async one(
    topic: Topic<Parked>,
    call: ReadAgain,
  ): Promise<readonly ParkedRecord[] | null> {
    try {
      await this.connect();
      const raw: RawRecord[] = [];
      for (const run of runs(call.offsets))
        raw.push(...(await this.run(topic.name, call.partition, run)));
      await this.options.prepare(raw.map(({ value }) => value));
      return raw.flatMap(({ at, value, headers }) =>
        value === null ? [] : [{ at, value: topic.codec.decode(value), headers }],
      );
    } catch (error) {
      this.options.onError(error);
      if (!this.closing) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      return null;
    }
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

  /** The wanted records from the first to the last; fewer where retention took them. */
  private async run(
    topic: string,
    partition: number,
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
        if (this.closing || Date.now() > deadline)
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
