import kafkajs from 'kafkajs';
import type { Producer } from 'kafkajs';
import { v7 } from 'uuid';
import { messageId, tenantId } from '../../schemas/brand.js';
import type { Lane, MessageRequest } from '../../schemas/generated/records.js';
import { ProducerClient } from '../../topologies/runtime/rdkafka-client.js';
import type { Write } from '../../topologies/runtime/raw-record.js';
import type { Codec } from '../../schemas/record.js';
import { kafkajsConnection } from '../../topologies/kafka-connection.js';
import type { Installation } from '../installation/installation.js';

// CommonJS without names that Node can see.
const { Kafka, Partitioners, logLevel } = kafkajs;

const TENANTS = 10;
const LINES = 5;
/** Every hundredth request comes twice, like the peer's. */
export const DUPLICATE_EVERY = 100;

/** The n-th request: accounts in turn, a recipient each. */
export const benchRequest = (n: number, channel: string, createdAt: number): MessageRequest => ({
  messageId: messageId(v7()),
  tenantId: tenantId(`tenant-${(n % TENANTS).toString()}`),
  businessLine: `line-${(Math.floor(n / TENANTS) % LINES).toString()}`,
  attribute: 'service',
  idempotencyKey: null,
  campaignId: null,
  recipient: {
    userId: `user-${n.toString()}`,
    phone: '13800000000',
    email: null,
    openId: null,
    pushTokens: [],
    tier: null,
  },
  templateId: 'bench',
  params: { n: n.toString() },
  channels: [channel],
  units: null,
  maxCostMicros: null,
  currency: null,
  locale: null,
  timeZone: null,
  createdAt,
  notBefore: null,
  expiresAt: null,
  labels: {},
});

export class BenchProducer {
  private readonly client: ProducerClient;
  /** Puts the records of all partitions into one request, as Java's client does; librdkafka sends one a partition. */
  private readonly together: Producer;
  private readonly installation: Installation;
  private readonly codecs = new Map<string, Codec<MessageRequest>>();

  private constructor(installation: Installation, client: ProducerClient, together: Producer) {
    this.installation = installation;
    this.client = client;
    this.together = together;
  }

  static async open(installation: Installation): Promise<BenchProducer> {
    const client = new ProducerClient(installation.client);
    const together = new Kafka({
      ...kafkajsConnection(installation.environment.kafka),
      clientId: 'bench',
      logLevel: logLevel.NOTHING,
    }).producer({ createPartitioner: Partitioners.DefaultPartitioner });
    await Promise.all([client.connect(10_000), together.connect()]);
    return new BenchProducer(installation, client, together);
  }

  write(lane: Lane, request: MessageRequest): Write {
    const topic = this.installation.names.ingest(lane);
    let codec = this.codecs.get(topic);
    if (codec === undefined) {
      codec = this.installation.codecs.of('MessageRequest', topic);
      this.codecs.set(topic, codec);
    }
    return {
      topic,
      partition: null,
      key: request.recipient.userId,
      value: codec.encode(request),
    };
  }

  /** One request; resolves once the broker has it. */
  async send(lane: Lane, writes: readonly Write[]): Promise<void> {
    if (writes.length === 0) return;
    await this.together.send({
      topic: this.installation.names.ingest(lane),
      acks: -1,
      messages: writes.map(({ key, value, partition }) => ({
        key,
        value,
        ...(partition !== null && { partition }),
      })),
    });
  }

  /** Preloads n different requests, each hundredth twice. Answers how many records were written. */
  async preload(lane: Lane, n: number, channel: string): Promise<number> {
    let written = 0;
    for (let from = 0; from < n; from += 5_000) {
      const writes: Write[] = [];
      for (let i = from; i < Math.min(n, from + 5_000); i++) {
        const write = this.write(lane, benchRequest(i, channel, Date.now()));
        writes.push(write);
        if (i % DUPLICATE_EVERY === DUPLICATE_EVERY - 1) writes.push(write);
      }
      await this.client.produce(writes, 60_000);
      written += writes.length;
    }
    await this.client.flush(60_000);
    return written;
  }

  async close(): Promise<void> {
    await this.together.disconnect();
    await this.client.disconnect(5_000);
  }
}
