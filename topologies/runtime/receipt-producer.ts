import rdkafka from 'node-rdkafka';
import { asError, PipelineError } from '../../schemas/error.js';
import type { ProviderReceipt } from '../../schemas/generated/records.js';
import type { Topic } from '../../schemas/record.js';
import { type ClientSettings, settled } from './rdkafka-client.js';

const DEADLINE_MS = 10_000;

/** Writes receipts that came over HTTP; a carrier is told "taken" only once the broker has them. */
export class ReceiptProducer {
  private readonly producer: rdkafka.HighLevelProducer;
  private readonly topic: Topic<ProviderReceipt>;

  constructor(client: ClientSettings, topic: Topic<ProviderReceipt>) {
    this.topic = topic;
    this.producer = new rdkafka.HighLevelProducer(
      {
        ...client,
        'enable.idempotence': true,
        'linger.ms': 2,
      },
      {
        'message.timeout.ms': DEADLINE_MS,
        partitioner: 'murmur2_random',
      },
    );
    this.producer.on('event.error', () => undefined);
  }

  /** @throws PipelineError kafka_unavailable */
  async open(): Promise<void> {
    try {
      await settled('connect', DEADLINE_MS, (done) => {
        this.producer.connect({ timeout: DEADLINE_MS }, done);
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
      await Promise.all(receipts.map((receipt) => this.one(receipt)));
    } catch (error) {
      throw new PipelineError(
        'kafka_unavailable',
        `receipts were not written: ${asError(error).message}`,
        error,
      );
    }
  }

  private one(receipt: ProviderReceipt): Promise<unknown> {
    // The message's own key is not known yet; its receipts keep their order by the message they name.
    const key = receipt.attempt?.messageId ?? receipt.providerMessageId ?? receipt.provider;
    return settled('receipt', DEADLINE_MS + 1_000, (done) => {
      this.producer.produce(
        this.topic.name,
        null,
        this.topic.codec.encode(receipt),
        key,
        null,
        (error: unknown) => {
          done(error as Parameters<typeof done>[0], undefined);
        },
      );
    });
  }

  async close(): Promise<void> {
    await settled<unknown>('disconnect', DEADLINE_MS, (done) => {
      this.producer.disconnect(done);
    }).catch(() => undefined);
  }
}
