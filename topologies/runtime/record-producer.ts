import rdkafka from 'node-rdkafka';
import { asError, PipelineError } from '../../schemas/error.js';
import type { Topic } from '../../schemas/record.js';
import { type ClientSettings, destroyProducer, settled } from './rdkafka-client.js';

const DEADLINE_MS = 10_000;

interface Waiting<V> {
  readonly value: V;
  readonly done: (error: unknown) => void;
}

/**
 * Writes what comes from outside Kafka (receipts over HTTP, levels of accounts), outside any transaction: whoever
 * delivers is told only once the broker has it. What comes while a batch is on its way is the next batch: never more
 * than one request to a partition (TransactionSession says why).
 */
export class RecordProducer<V> {
  readonly native: rdkafka.HighLevelProducer;
  private readonly topic: Topic<V>;
  private readonly keyOf: (value: V) => string;
  private waiting: Waiting<V>[] = [];
  private writing = false;

  /** Records of one key keep their order. */
  constructor(client: ClientSettings, topic: Topic<V>, keyOf: (value: V) => string) {
    this.topic = topic;
    this.keyOf = keyOf;
    this.native = new rdkafka.HighLevelProducer(
      {
        ...client,
        'enable.idempotence': true,
        // Each batch is flushed.
        'linger.ms': DEADLINE_MS / 2,
      },
      {
        'message.timeout.ms': DEADLINE_MS,
        partitioner: 'murmur2_random',
      },
    );
    this.native.on('event.error', () => undefined);
  }

  /** @throws PipelineError kafka_unavailable */
  async open(): Promise<void> {
    try {
      await settled('connect', DEADLINE_MS, (done) => {
        this.native.connect({ timeout: DEADLINE_MS }, done);
      });
    } catch (error) {
      throw new PipelineError(
        'kafka_unavailable',
        `Kafka does not answer: ${asError(error).message}`,
        error,
      );
    }
  }

  /** Resolves once all are on the broker. @throws PipelineError kafka_unavailable: some may be there; deliver all again */
  async deliver(values: readonly V[]): Promise<void> {
    try {
      const written = values.map(
        (value) =>
          new Promise<void>((resolve, reject) => {
            const done = (error: unknown): void => {
              if (error == null) resolve();
              else reject(asError(error));
            };
            this.waiting.push({ value, done });
          }),
      );
      void this.write();
      await Promise.all(written);
    } catch (error) {
      throw new PipelineError(
        'kafka_unavailable',
        `${this.topic.name} was not written: ${asError(error).message}`,
        error,
      );
    }
  }

  private async write(): Promise<void> {
    if (this.writing) return;
    this.writing = true;
    while (this.waiting.length > 0) {
      const batch = this.waiting;
      this.waiting = [];
      await this.flush(batch);
    }
    this.writing = false;
  }

  /** Each of the batch is told how it went. */
  private async flush(batch: readonly Waiting<V>[]): Promise<void> {
    for (const { value, done } of batch) {
      try {
        const bytes = this.topic.codec.encode(value);
        this.native.produce(this.topic.name, null, bytes, this.keyOf(value), null, done);
      } catch (error) {
        done(error);
      }
    }
    try {
      await settled<unknown>('flush', DEADLINE_MS + 1_000, (done) => {
        this.native.flush(DEADLINE_MS, (error) => {
          done(error, undefined);
        });
      });
    } catch (error) {
      // Whoever was told already stays told.
      for (const { done } of batch) done(error);
    }
  }

  async close(): Promise<void> {
    await settled<unknown>('disconnect', DEADLINE_MS, (done) => {
      destroyProducer(this.native, DEADLINE_MS, done);
    }).catch(() => undefined);
  }
}
