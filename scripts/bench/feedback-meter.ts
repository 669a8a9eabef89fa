import { ConsumerClient } from '../../topologies/runtime/rdkafka-client.js';
import type { Installation } from '../installation/installation.js';

export interface Seen {
  readonly messageId: string;
  /** When a read_committed reader had it: milliseconds since the epoch. */
  readonly seenAt: number;
  readonly terminal: boolean;
}

/** Reads `feedback` read_committed from its end on, as a producer that waits for its answer would. */
export class FeedbackMeter {
  private readonly consumer: ConsumerClient;
  private readonly decode: (bytes: Buffer) => {
    readonly messageId: string;
    readonly terminal: boolean;
  };
  private running: Promise<void> | null = null;
  private stopping = false;

  private constructor(installation: Installation, consumer: ConsumerClient) {
    this.consumer = consumer;
    const codec = installation.codecs.project('DeliveryFeedback', installation.names.feedback, [
      'messageId',
      'terminal',
    ]);
    this.decode = (bytes) => codec.decode(bytes);
  }

  static async start(
    installation: Installation,
    partitions: number,
    onSeen: (seen: Seen) => void,
  ): Promise<FeedbackMeter> {
    const consumer = new ConsumerClient({
      ...installation.client,
      'group.id': 'bench-meter',
      'isolation.level': 'read_committed',
    });
    await consumer.connect(10_000);
    const topic = installation.names.feedback;
    consumer.native.assign(
      Array.from({ length: partitions }, (_, partition) => ({ topic, partition, offset: 0 })),
    );
    const meter = new FeedbackMeter(installation, consumer);
    meter.running = meter.follow(onSeen);
    return meter;
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await this.running;
    this.consumer.native.unassign();
    await this.consumer.disconnect(5_000);
  }

  private async follow(onSeen: (seen: Seen) => void): Promise<void> {
    while (!this.stopping) {
      const records = await this.consumer.take(5_000, 50);
      const seenAt = Date.now();
      for (const { value } of records) {
        if (value !== null) onSeen({ ...this.decode(value), seenAt });
      }
    }
  }
}
