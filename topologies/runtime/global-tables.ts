import type { GlobalTable } from '../../processors/processor.js';
import type { EpochMs } from '../../schemas/brand.js';
import { asError, isRetry, PipelineError } from '../../schemas/error.js';
import type { Topic } from '../../schemas/record.js';
import { type ClientSettings, ConsumerClient } from './rdkafka-client.js';
import type { ChangelogReader } from './changelog-reader.js';
import type { RawRecord, TopicPartition } from './raw-record.js';

/** A table that workers hold whole. `readAt` is when it was last known to be current. */
export interface LiveTable<V> extends GlobalTable<V> {
  readonly topic: string;
  readonly readAt: EpochMs;
}

class Table implements LiveTable<unknown> {
  readonly values = new Map<string, unknown>();
  readAt: EpochMs = 0;
  private readonly wired: Topic<unknown>;

  constructor(wired: Topic<unknown>) {
    this.wired = wired;
  }

  get topic(): string {
    return this.wired.name;
  }

  get(key: string): unknown {
    return this.values.get(key);
  }

  entries(): MapIterator<[string, unknown]> {
    return this.values.entries();
  }

  take(record: RawRecord): void {
    const key = record.key?.toString('utf8') ?? '';
    if (record.value === null) this.values.delete(key);
    else this.values.set(key, this.wired.codec.decode(record.value));
  }
}

const RETRY_MS = 500;

/**
 * Compacted topics that a worker holds whole: each is read to its end before the first record is taken (rule 6),
 * then followed live by one consumer.
 */
export class GlobalTables {
  private readonly tables: ReadonlyMap<string, Table>;
  private readonly consumer: ConsumerClient;
  private following: Promise<void> | null = null;
  private stopping = false;
  private readonly options: GlobalTablesOptions;

  constructor(topics: readonly Topic<unknown>[], options: GlobalTablesOptions) {
    this.options = options;
    this.tables = new Map(topics.map((topic) => [topic.name, new Table(topic)]));
    this.consumer = new ConsumerClient({
      ...options.client,
      'group.id': options.groupId,
      'isolation.level': 'read_committed',
    });
  }

  table(name: string): LiveTable<unknown> {
    const found = this.tables.get(name);
    if (found === undefined)
      throw new PipelineError('defect', `no global table ${name} was opened`);
    return found;
  }

  /** Waits for whatever is away. @throws PipelineError topic_missing */
  async open(): Promise<void> {
    const { partitionsOf } = this.options;
    const from: { topic: string; partition: number; offset: number }[] = [];
    for (const [topic, table] of this.tables) {
      for (let partition = 0; partition < partitionsOf(topic); partition++) {
        const records = await this.readWhole({ topic, partition });
        for (const record of records) this.apply(table, record);
        const last = records.at(-1);
        from.push({ topic, partition, offset: last === undefined ? 0 : last.at.offset + 1 });
      }
      table.readAt = Date.now();
    }
    if (from.length === 0) return;
    await this.consumer.connect(10_000);
    this.consumer.native.assign(from);
    this.following = this.follow();
  }

  async close(): Promise<void> {
    this.stopping = true;
    await this.following;
    await this.consumer.disconnect(5_000);
  }

  /** With the schemas that its records need. An election, a registry that restarts: nothing that a new start would mend. */
  private async readWhole(partition: TopicPartition): Promise<readonly RawRecord[]> {
    const { reader, prepare, onWaiting } = this.options;
    for (;;) {
      const records: RawRecord[] = [];
      try {
        await reader.read(partition, (record) => records.push(record));
        await prepare(records.map(({ value }) => value));
        return records;
      } catch (error) {
        if (!isRetry(error) || this.stopping) throw error;
        onWaiting(error, RETRY_MS);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  private async follow(): Promise<void> {
    // What was taken and could not be applied yet: taken once, it does not come again.
    let waiting: RawRecord[] = [];
    while (!this.stopping) {
      try {
        if (waiting.length === 0) waiting = await this.consumer.take(500, 100);
        if (waiting.length > 0) await this.options.prepare(waiting.map(({ value }) => value));
        for (const record of waiting) {
          const table = this.tables.get(record.at.topic);
          if (table !== undefined) this.apply(table, record);
        }
        waiting = [];
        for (const table of this.tables.values()) table.readAt = Date.now();
      } catch (error) {
        this.options.onError(asError(error));
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  /** An entry that cannot be read leaves the one before it in force: it must not stop every worker, now and at each start. */
  private apply(table: Table, record: RawRecord): void {
    try {
      table.take(record);
    } catch (error) {
      if (!(error instanceof PipelineError) || error.verdict !== 'dead-letter') throw error;
      this.options.onError(error);
    }
  }
}

export interface GlobalTablesOptions {
  readonly client: ClientSettings;
  readonly groupId: string;
  readonly reader: Pick<ChangelogReader, 'read'>;
  /** Fetches the writer schemas that these values need. */
  readonly prepare: (values: readonly (Buffer | null)[]) => Promise<void>;
  readonly partitionsOf: (topic: string) => number;
  /** While they are opened: something is away, and is asked again in so many milliseconds. */
  readonly onWaiting: (error: PipelineError, pauseMs: number) => void;
  readonly onError: (error: Error) => void;
}
