import { Partitioners } from 'kafkajs';
import type { KafkaEnvironment } from '../../topologies/config.js';
import { asError } from '../../schemas/error.js';
import type { Coordinates } from '../../schemas/record.js';
import { type Outgoing, RequestProducer } from '../produce/request-producer.js';

/** Records of a partition that come within this go together. */
const COLLECT_MS = 20;
/** Above what handing a flight over takes, so that it is one request. */
const LINGER_MS = 50;

/**
 * Writes so that each partition has one flight of records in the air, and hands over the next when it has landed.
 * Where more is handed over, librdkafka turns without a pause until a slow broker answers (TransactionSession), and
 * the harness would take from its cluster the processor that it wants to see it work with.
 */
export class Flights {
  private readonly waiting = new Map<string, Outgoing[]>();
  private readonly inTheAir = new Map<string, number>();
  private readonly landed = new Map<Outgoing, (at: Coordinates) => void>();
  private readonly partitions: number;
  private readonly pick = Partitioners.DefaultPartitioner();
  private readonly timer: NodeJS.Timeout;
  private producer: RequestProducer | null = null;
  private failed: Error | null = null;

  private constructor(partitions: number) {
    this.partitions = partitions;
    this.timer = setInterval(() => {
      this.depart();
    }, COLLECT_MS);
  }

  /** @param partitions of each topic */
  static async open(kafka: KafkaEnvironment, partitions: number): Promise<Flights> {
    const flights = new Flights(partitions);
    try {
      flights.producer = await RequestProducer.open(
        kafka,
        (record, at) => {
          const place = placeOf(at.topic, at.partition);
          flights.inTheAir.set(place, (flights.inTheAir.get(place) ?? 0) - 1);
          flights.landed.get(record)?.(at);
          flights.landed.delete(record);
        },
        { 'linger.ms': LINGER_MS },
      );
    } catch (error) {
      clearInterval(flights.timer);
      throw error;
    }
    return flights;
  }

  /**
   * @param onLanded told where the brokers have it
   * @throws PipelineError kafka_unavailable: an earlier record was not acknowledged
   */
  add(record: Outgoing, onLanded: (at: Coordinates) => void): void {
    if (this.failed !== null) throw this.failed;
    const partition = this.pick({
      topic: record.topic,
      partitionMetadata: Array.from({ length: this.partitions }, (_, partitionId) => ({
        partitionErrorCode: 0,
        partitionId,
        leader: 0,
        replicas: [],
        isr: [],
      })),
      message: { key: record.key, value: record.value },
    });
    const place = placeOf(record.topic, partition);
    const queue = this.waiting.get(place) ?? [];
    const placed = { ...record, partition };
    this.landed.set(placed, onLanded);
    queue.push(placed);
    this.waiting.set(place, queue);
  }

  /** Waits until all have landed. @throws PipelineError kafka_unavailable */
  async settle(deadlineMs: number): Promise<void> {
    const end = Date.now() + deadlineMs;
    while ([...this.waiting.values()].some(({ length }) => length > 0) && Date.now() < end) {
      if (this.failed !== null) throw this.failed;
      await new Promise((resolve) => setTimeout(resolve, COLLECT_MS));
    }
    await this.producer?.settle(Math.max(1_000, end - Date.now()));
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.producer?.close();
  }

  private depart(): void {
    for (const [place, records] of this.waiting) {
      if (records.length === 0 || (this.inTheAir.get(place) ?? 0) > 0) continue;
      this.waiting.set(place, []);
      this.inTheAir.set(place, records.length);
      for (const record of records)
        this.producer?.send(record).catch((thrown: unknown) => {
          this.failed ??= asError(thrown);
        });
    }
  }
}

const placeOf = (topic: string, partition: number): string => `${topic}/${partition}`;
