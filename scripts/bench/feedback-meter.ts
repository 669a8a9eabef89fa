import { ConsumerClient } from '../../topologies/runtime/rdkafka-client.js';
import type { Installation } from '../installation/installation.js';

export interface Seen {
  readonly messageId: string;
  /** When a read_committed reader had it: milliseconds since the epoch. */
  readonly seenAt: number;
  readonly terminal: boolean;
}

/** Decoded at the latest when so many wait. */
const MOST_UNDECODED = 200_000;

/** Reads `feedback` read_committed from its beginning on, as a producer that waits for its answer would. */
export class FeedbackMeter {
  /** Records, not yet of different messages. */
  received = 0;
  private undecoded: { readonly value: Buffer; readonly seenAt: number }[] = [];
  private readonly onSeen: (seen: Seen) => void;
  private readonly later: boolean;
  private readonly consumer: ConsumerClient;
  private readonly decode: (bytes: Buffer) => {
    readonly messageId: string;
    readonly terminal: boolean;
  };
  private running: Promise<void> | null = null;
  private stopping = false;

  private constructor(
    installation: Installation,
    consumer: ConsumerClient,
    onSeen: (seen: Seen) => void,
    later: boolean,
  ) {
    this.consumer = consumer;
    this.onSeen = onSeen;
    this.later = later;
    const codec = installation.codecs.project('DeliveryFeedback', installation.names.feedback, [
      'messageId',
      'terminal',
    ]);
    this.decode = (bytes) => codec.decode(bytes);
  }

  /**
   * @param later tells of what it saw, with the time when it saw it, only when it is asked to: the meter must not take
   * from what it measures the processors that decoding needs
   */
  static async start(
    installation: Installation,
    partitions: number,
    onSeen: (seen: Seen) => void,
    { later = false }: { readonly later?: boolean } = {},
  ): Promise<FeedbackMeter> {
    const consumer = new ConsumerClient({
      ...installation.client,
      'group.id': 'bench-meter',
      'isolation.level': 'read_committed',
      'fetch.wait.max.ms': 100,
    });
    await consumer.connect(10_000);
    const topic = installation.names.feedback;
    consumer.native.assign(
      Array.from({ length: partitions }, (_, partition) => ({ topic, partition, offset: 0 })),
    );
    const meter = new FeedbackMeter(installation, consumer, onSeen, later);
    meter.running = meter.follow();
    return meter;
  }

  /** Tells of all that was received. */
  tell(): void {
    for (const { value, seenAt } of this.undecoded.splice(0))
      this.onSeen({ ...this.decode(value), seenAt });
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await this.running;
    this.consumer.native.unassign();
    await this.consumer.disconnect(5_000);
  }

  private async follow(): Promise<void> {
    while (!this.stopping) {
      const records = await this.consumer.take(5_000, 50);
      const seenAt = Date.now();
      for (const { value } of records) if (value !== null) this.undecoded.push({ value, seenAt });
      this.received += records.length;
      if (!this.later || this.undecoded.length > MOST_UNDECODED) this.tell();
    }
  }
}
