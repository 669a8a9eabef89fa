import type { Lane, MessageRequest } from '../../schemas/generated/records.js';
import { LANES } from '../../schemas/generated/records.js';
import { ProducerClient } from '../../topologies/runtime/rdkafka-client.js';
import type { Installation } from '../installation/installation.js';
import { recipientOf, requestOf } from './requests.js';

const DEADLINE_MS = 30_000;
const STEP_MS = 50;

/** Good requests, each remembered, on all lanes; so many at once, or in the background until told to stop. */
export class Traffic {
  readonly requests: MessageRequest[] = [];
  private readonly installation: Installation;
  private readonly producer: ProducerClient;
  private flowing: Promise<void> | null = null;
  private stopping = false;

  private constructor(installation: Installation, producer: ProducerClient) {
    this.installation = installation;
    this.producer = producer;
  }

  static async open(installation: Installation): Promise<Traffic> {
    const producer = new ProducerClient(installation.client);
    await producer.connect(DEADLINE_MS);
    return new Traffic(installation, producer);
  }

  /** Writes so many, over the given channels and lanes in turn. Answers them once they are acknowledged. */
  async write(
    count: number,
    channels: readonly string[],
    lanes: readonly Lane[] = LANES,
  ): Promise<readonly MessageRequest[]> {
    const { codecs, names } = this.installation;
    const requests = Array.from({ length: count }, (_, index) => {
      const n = this.requests.length + index;
      return requestOf({
        channels: [channels[n % channels.length] ?? 'app_push'],
        recipient: recipientOf({ userId: `user-${n}` }),
      });
    });
    this.requests.push(...requests);
    const writes = requests.map((request, index) => {
      const topic = names.ingest(lanes[index % lanes.length] ?? 'p0');
      return {
        topic,
        partition: null,
        key: request.recipient.userId,
        value: codecs.of('MessageRequest', topic).encode(request),
      };
    });
    await this.producer.produce(writes, DEADLINE_MS);
    await this.producer.flush(DEADLINE_MS);
    return requests;
  }

  /** Goes on writing until `pause`. */
  flow(perSecond: number, channels: readonly string[]): void {
    this.stopping = false;
    const perStep = Math.max(1, Math.round((perSecond * STEP_MS) / 1_000));
    this.flowing = (async () => {
      while (!this.stopping) {
        await this.write(perStep, channels);
        await new Promise((resolve) => setTimeout(resolve, STEP_MS));
      }
    })();
  }

  async pause(): Promise<void> {
    this.stopping = true;
    await this.flowing;
    this.flowing = null;
  }

  async close(): Promise<void> {
    await this.pause();
    await this.producer.disconnect(DEADLINE_MS);
  }
}
