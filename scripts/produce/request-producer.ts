import { PipelineError } from '../../schemas/error.js';
import type { Coordinates } from '../../schemas/record.js';
import type { KafkaEnvironment } from '../../topologies/config.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import { diagnoseKafka } from '../../topologies/kafka-refusal.js';
import { type ClientSettings, ProducerClient } from '../../topologies/runtime/rdkafka-client.js';

export interface Outgoing {
  readonly topic: string;
  readonly key: string | null;
  readonly value: Buffer | null;
  /** Absent: murmur2 of the key says. */
  readonly partition?: number;
  readonly headers?: Readonly<Record<string, Buffer>>;
}

/** What the brokers acknowledged. */
export type OnAcknowledged = (record: Outgoing, at: Coordinates) => void;

const CONNECT_MS = 5_000;
/** Records handed over before we look whether acknowledgements came. */
const IN_FLIGHT = 20_000;
const POLL_MS = 5;

/**
 * A producer as contract.md asks of everyone: acks=all, idempotent, murmur2_random. Not transactional: each record
 * stands for itself.
 */
export class RequestProducer {
  readonly #client: ProducerClient;
  readonly #waiting = new Map<number, Outgoing>();
  #next = 0;
  #failure: PipelineError | undefined;

  private constructor(client: ProducerClient, onAcknowledged: OnAcknowledged) {
    this.#client = client;
    client.native.on('delivery-report', (error: unknown, report) => {
      const number = (report.opaque as { readonly number: number }).number;
      const record = this.#waiting.get(number);
      this.#waiting.delete(number);
      if (record === undefined) return;
      if (error !== null && error !== undefined) {
        this.#failure ??= new PipelineError(
          'kafka_unavailable',
          `a record for ${record.topic} was not acknowledged: ${(error as Error).message}`,
          error,
        );
        return;
      }
      onAcknowledged(record, {
        topic: report.topic,
        partition: report.partition,
        offset: report.offset,
      });
    });
    client.native.setPollInterval(POLL_MS);
  }

  /** @throws PipelineError `kafka_unavailable`, `kafka_refused` */
  static async open(
    kafka: KafkaEnvironment,
    onAcknowledged: OnAcknowledged,
    settings: ClientSettings = {},
  ): Promise<RequestProducer> {
    const client = new ProducerClient({ ...rdkafkaConnection(kafka), ...settings, dr_cb: true });
    try {
      await client.connect(CONNECT_MS);
    } catch (thrown) {
      const refusal = await diagnoseKafka(kafka);
      if (refusal !== null) throw refusal;
      throw new PipelineError(
        'kafka_unavailable',
        `Kafka does not answer at ${kafka.brokers.join(', ')}.`,
        thrown,
      );
    }
    return new RequestProducer(client, onAcknowledged);
  }

  /** Hands a record over; waits while too many are unacknowledged. */
  async send(record: Outgoing): Promise<void> {
    while (this.#waiting.size >= IN_FLIGHT && this.#failure === undefined) await pause();
    this.#check();
    const number = this.#next++;
    this.#waiting.set(number, record);
    const { topic, partition = null, value, key, headers = {} } = record;
    this.#client.native.produce(
      topic,
      partition,
      value,
      key,
      null,
      { number },
      Object.entries(headers).map(([name, text]) => ({ [name]: text })),
    );
  }

  /** Waits until all are acknowledged. @throws PipelineError `kafka_unavailable` */
  async settle(deadlineMs = 60_000): Promise<void> {
    const deadline = Date.now() + deadlineMs;
    while (this.#waiting.size > 0 && this.#failure === undefined && Date.now() < deadline)
      await pause();
    this.#check();
    if (this.#waiting.size > 0)
      throw new PipelineError(
        'kafka_unavailable',
        `${this.#waiting.size} records were not acknowledged within ${deadlineMs / 1_000} s`,
      );
  }

  async close(): Promise<void> {
    await this.#client.disconnect(5_000);
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, POLL_MS));
