import rdkafka from 'node-rdkafka';
import { asError, PipelineError } from '../../schemas/error.js';
import type { ProviderReceipt } from '../../schemas/generated/records.js';
import type { Topic } from '../../schemas/record.js';
import { type ClientSettings, destroyProducer, settled } from './rdkafka-client.js';

const DEADLINE_MS = 10_000;

interface Waiting {
  readonly receipt: ProviderReceipt;
  readonly done: (error: unknown) => void;
}

/**
 * Writes receipts that came over HTTP; a carrier is told "taken" only once the broker has them. What comes while a batch
 * is on its way is the next batch: never more than one request to a partition (TransactionSession says why).
 */
export class ReceiptProducer {
  readonly native: rdkafka.HighLevelProducer;
  private readonly topic: Topic<ProviderReceipt>;
  private waiting: Waiting[] = [];
  private writing = false;

  constructor(client: ClientSettings, topic: Topic<ProviderReceipt>) {
    this.topic = topic;
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

  /** Resolves once all are on the broker. @throws PipelineError kafka_unavailable: the carrier pushes again */
  async deliver(receipts: readonly ProviderReceipt[]): Promise<void> {
    try {
      const written = receipts.map(
        (receipt) =>
          new Promise<void>((resolve, reject) => {
            const done = (error: unknown): void => {
              if (error == null) resolve();
              else reject(asError(error));
            };
            this.waiting.push({ receipt, done });
          }),
      );
      void this.write();
      await Promise.all(written);
    } catch (error) {
      throw new PipelineError(
        'kafka_unavailable',
        `receipts were not written: ${asError(error).message}`,
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

  /** Every receipt of the batch is told how it went. */
  private async flush(batch: readonly Waiting[]): Promise<void> {
    for (const { receipt, done } of batch) {
      // The message's own key is not known yet; its receipts keep their order by the message they name.
      const key = receipt.attempt?.messageId ?? receipt.providerMessageId ?? receipt.provider;
      try {
        const value = this.topic.codec.encode(receipt);
        this.native.produce(this.topic.name, null, value, key, null, done);
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
