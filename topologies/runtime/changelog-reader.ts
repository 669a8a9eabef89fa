import { asError, PipelineError } from '../../schemas/error.js';
import { type KafkaClients, rdkafkaClients } from './kafka-clients.js';
import type { ClientSettings, ConsumerClient } from './rdkafka-client.js';
import type { RawRecord, TopicPartition } from './raw-record.js';

const QUERY_DEADLINE_MS = 5_000;
/** A crashed writer's transaction is aborted within its time-out, 5 s; several may follow one another. */
const STABLE_DEADLINE_MS = 60_000;
const BATCH = 5_000;
/**
 * How long a broker waits with its answer that nothing is left, and we for a record: each partition ends with both, and
 * a worker reads a hundred, one after the other (500 and 100 ms made 1.02 s of each, these make 0.04).
 */
const END_WAIT_MS = 10;

/**
 * Reads a compacted partition to the end that existed when asked (rule 6): the high watermark comes from a
 * read_uncommitted client, the reading waits until the last stable offset has reached it, and the end is the
 * client's EOF event, because positions never count trailing transaction markers (KAFKA-10167).
 * One reader serves a whole worker, one partition at a time.
 */
export class ChangelogReader {
  private readonly settings: ClientSettings;
  private readonly clients: KafkaClients;
  private uncommitted: ConsumerClient;
  private committed: ConsumerClient;
  private connected: Promise<unknown> | null = null;
  private queue: Promise<unknown> = Promise.resolve();
  private closing = false;
  private eof: { readonly at: TopicPartition; readonly offset: number } | null = null;

  constructor(client: ClientSettings, groupId: string, clients: KafkaClients = rdkafkaClients) {
    this.clients = clients;
    this.settings = { ...client, 'group.id': groupId, 'fetch.wait.max.ms': END_WAIT_MS };
    this.uncommitted = this.client('read_uncommitted');
    this.committed = this.client('read_committed');
  }

  /**
   * Hands every visible record of the partition to `visit`, oldest first.
   * @throws PipelineError kafka_unavailable where the end is not reached in time
   */
  read(partition: TopicPartition, visit: (record: RawRecord) => void): Promise<void> {
    const turn = this.queue.then(() => this.readOne(partition, visit));
    this.queue = turn.catch(() => undefined);
    return turn;
  }

  /** @throws PipelineError kafka_unavailable */
  async stableEnd(partition: TopicPartition): Promise<number> {
    await this.connect();
    const { high } = await this.uncommitted.watermarks(partition, QUERY_DEADLINE_MS);
    const end = Date.now() + STABLE_DEADLINE_MS;
    for (;;) {
      this.goOn();
      const { high: stable } = await this.committed.watermarks(partition, QUERY_DEADLINE_MS);
      if (stable >= high) return high;
      if (Date.now() > end) {
        throw new PipelineError(
          'kafka_unavailable',
          `${partition.topic}/${partition.partition}: an open transaction holds the stable offset at ${stable}, below ${high}; find its owner with kafka-transactions.sh`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /**
   * Whether none of these partitions holds a record.
   * @throws PipelineError kafka_unavailable
   */
  async allEmpty(partitions: readonly TopicPartition[]): Promise<boolean> {
    await this.connect();
    try {
      for (const partition of partitions) {
        const { low, high } = await this.uncommitted.watermarks(partition, QUERY_DEADLINE_MS);
        if (low < high) return false;
      }
      return true;
    } catch (error) {
      this.renew();
      throw new PipelineError(
        'kafka_unavailable',
        `asking how much changelogs hold: ${asError(error).message}`,
        error,
      );
    }
  }

  /** What is being read, and what waits for its turn, is given up. */
  async close(): Promise<void> {
    this.closing = true;
    await this.queue;
    await Promise.all([this.uncommitted.disconnect(5_000), this.committed.disconnect(5_000)]);
  }

  private client(isolation: 'read_committed' | 'read_uncommitted'): ConsumerClient {
    const client = this.clients.consumer({ ...this.settings, 'isolation.level': isolation });
    if (isolation === 'read_committed')
      client.native.on('partition.eof', ({ topic, partition, offset }) => {
        this.eof = { at: { topic, partition }, offset };
      });
    return client;
  }

  /**
   * A client that asked for a partition whose leader had just died answers "Unknown partition" ever after (librdkafka
   * 2.12, found by the fault harness: workers that never came to themselves); a new one knows better at once.
   */
  private renew(): void {
    for (const old of [this.uncommitted, this.committed]) void old.disconnect(QUERY_DEADLINE_MS);
    this.uncommitted = this.client('read_uncommitted');
    this.committed = this.client('read_committed');
    this.connected = null;
  }

  private async connect(): Promise<void> {
    this.connected ??= Promise.all([
      this.uncommitted.connect(QUERY_DEADLINE_MS),
      this.committed.connect(QUERY_DEADLINE_MS),
    ]);
    try {
      await this.connected;
    } catch (error) {
      this.connected = null;
      throw error;
    }
  }

  private async readOne(
    partition: TopicPartition,
    visit: (record: RawRecord) => void,
  ): Promise<void> {
    try {
      const high = await this.stableEnd(partition);
      const { low } = await this.committed.watermarks(partition, QUERY_DEADLINE_MS);
      if (low >= high) return;
      this.eof = null;
      this.committed.native.assign([{ ...partition, offset: low }]);
      const end = Date.now() + STABLE_DEADLINE_MS;
      while (!this.reached(partition, high)) {
        this.goOn();
        for (const record of await this.committed.take(BATCH, END_WAIT_MS)) visit(record);
        if (Date.now() > end)
          throw new Error(`the end (${high}) was not reached in ${STABLE_DEADLINE_MS} ms`);
      }
    } catch (error) {
      if (error instanceof PipelineError) throw error;
      this.renew();
      throw new PipelineError(
        'kafka_unavailable',
        `restoring from ${partition.topic}/${partition.partition}: ${asError(error).message}`,
        error,
      );
    } finally {
      if (this.committed.native.isConnected()) this.committed.native.unassign();
    }
  }

  private goOn(): void {
    if (this.closing)
      throw new PipelineError('kafka_unavailable', 'the reader of changelogs is closed');
  }

  private reached({ topic, partition }: TopicPartition, high: number): boolean {
    return (
      this.eof !== null &&
      this.eof.at.topic === topic &&
      this.eof.at.partition === partition &&
      this.eof.offset >= high
    );
  }
}
