import type { ParkedRecord, ReadAgain, WasRead } from '../../processors/release/release.js';
import type { Parked } from '../../schemas/generated/records.js';
import type { Topic } from '../../schemas/record.js';
import { OffsetReader } from './offset-reader.js';
import type { ClientSettings } from './rdkafka-client.js';

const PAUSE_MS = 1_000;

export interface ParkedReaderOptions {
  readonly client: ClientSettings;
  /** Names the reader for the broker's ACLs; it joins no group. */
  readonly groupId: string;
  readonly prepare: (values: readonly (Buffer | null)[]) => Promise<void>;
  readonly onError: (error: unknown) => void;
}

/** Reads parked records again, for all lanes of a worker. */
export class ParkedReader {
  private readonly reader: OffsetReader;
  private readonly options: ParkedReaderOptions;

  constructor(options: ParkedReaderOptions) {
    this.options = options;
    this.reader = new OffsetReader(options.client, options.groupId);
  }

  /** The port of one lane's releaser. */
  of(topic: Topic<Parked>): {
    readonly read: (calls: readonly ReadAgain[]) => AsyncIterable<WasRead>;
  } {
    return { read: (calls) => this.answers(topic, calls) };
  }

  close(): Promise<void> {
    return this.reader.close();
  }

  private async *answers(
    topic: Topic<Parked>,
    calls: readonly ReadAgain[],
  ): AsyncGenerator<WasRead> {
    for (const call of calls) yield { call, records: await this.one(topic, call) };
  }

  private async one(
    topic: Topic<Parked>,
    { partition, offsets }: ReadAgain,
  ): Promise<readonly ParkedRecord[] | null> {
    try {
      const raw = await this.reader.read({ topic: topic.name, partition }, offsets);
      await this.options.prepare(raw.map(({ value }) => value));
      return raw.flatMap(({ at, value, headers }) =>
        value === null ? [] : [{ at, value: topic.codec.decode(value), headers }],
      );
    } catch (error) {
      this.options.onError(error);
      if (!this.reader.closing) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      return null;
    }
  }
}
