import type { EpochMs } from '../../schemas/brand.js';
import { asError, PipelineError } from '../../schemas/error.js';
import type { KafkaRecord, PartitionSlice, Topic } from '../../schemas/record.js';
import type { PassPoint } from './crash-points.js';
import { groupSettings } from './group-settings.js';
import { type KafkaClients, rdkafkaClients } from './kafka-clients.js';
import {
  type PartitionId,
  type RawRecord,
  type TopicPartition,
  partitionId,
} from './raw-record.js';
import {
  type ClientSettings,
  type ConsumerClient,
  type PartitionOffset,
  isAssign,
  isRevoke,
} from './rdkafka-client.js';
import type { GroupProtocol, SessionTiming } from './transaction-session.js';

const WAIT_MS = 200;
const IDLE_EVERY_MS = 1_000;
/** A record made so long ago is visible by now: its transaction has ended or was timed out (rule 11), twice over. */
const UNSEEN_MS = 10_000;
const RETRY_PAUSE_MS = { first: 100, most: 5_000 } as const;

/** Something outside Kafka that stores input offsets together with their effect, or whose effect may repeat. */
export interface Sink<V> {
  readonly name: string;
  readonly topics: readonly Topic<V>[];
  /** Stored next offsets, in order; `beginning` is stored where there is none. null: the group's committed offsets. */
  readonly load:
    | ((
        partitions: readonly (TopicPartition & { readonly beginning: number })[],
      ) => Promise<readonly number[]>)
    | null;
  /**
   * Applies the slices and their offsets together; answers the partitions that another owner has moved (then nothing
   * of this call was applied).
   * @throws PipelineError with verdict retry: the slices are given again
   */
  readonly write: (slices: readonly PartitionSlice<V>[]) => Promise<readonly TopicPartition[]>;
  /** Only a view of the topics: while it is refused or away, it waits and readiness says degraded. */
  readonly derived?: true;
  /** At least every second, of partitions in which nothing is left to read: everything that they held at `at` is stored. */
  readonly caughtUp?: (partitions: readonly TopicPartition[], at: EpochMs) => Promise<void>;
}

export interface SinkTaskOptions {
  readonly client: ClientSettings;
  readonly groupId: string;
  readonly groupProtocol: GroupProtocol;
  readonly timing: SessionTiming;
  readonly maxBatch: number;
  /** Writes are at least so far apart unless batches are full: nobody waits for a sink, and a write costs what it costs. */
  readonly lingerMs: number;
  readonly passPoint?: PassPoint | undefined;
  readonly prepare: (values: readonly (Buffer | null)[]) => Promise<void>;
  readonly onEvent: (event: SinkEvent) => void;
  readonly metrics: { readonly written: (records: number, milliseconds: number) => void };
  /** Default: librdkafka's. */
  readonly clients?: KafkaClients;
}

export type SinkEvent =
  | {
      readonly kind: 'assigned' | 'revoked' | 'lost';
      readonly partitions: readonly TopicPartition[];
    }
  | { readonly kind: 'waiting'; readonly error: PipelineError; readonly pauseMs: number }
  | { readonly kind: 'recovered' }
  | { readonly kind: 'unreadable'; readonly record: RawRecord; readonly error: PipelineError }
  | { readonly kind: 'consume_failed'; readonly error: Error };

/**
 * Feeds a sink from a consumer group. Offsets live with the effect (exactly-once.md, "settle and sinks"): a partition
 * whose offset another owner has moved is dropped and read again from the stored offset.
 */
export class SinkTask<V> {
  private readonly consumer: ConsumerClient;
  private readonly sink: Sink<V>;
  private readonly options: SinkTaskOptions;
  private readonly codecs: ReadonlyMap<string, Topic<V>>;
  /** Next offset as stored with the effect. */
  private readonly positions = new Map<PartitionId, PartitionOffset>();
  private readonly ends = new Map<PartitionId, number>();
  private readonly rebalances: {
    readonly assign: boolean;
    readonly partitions: TopicPartition[];
  }[] = [];
  private stopping = false;
  private closing = false;
  private waitingFrom: number | null = null;
  private idleAt = 0;
  private lingerUntil = 0;

  constructor(sink: Sink<V>, options: SinkTaskOptions) {
    this.sink = sink;
    this.options = options;
    this.codecs = new Map(sink.topics.map((topic) => [topic.name, topic]));
    const { timing, groupProtocol, clients = rdkafkaClients } = options;
    this.consumer = clients.consumer(
      {
        ...options.client,
        ...groupSettings(options.groupId, groupProtocol, timing),
      },
      (error, partitions) => {
        if (isAssign(error)) this.rebalances.push({ assign: true, partitions });
        else if (isRevoke(error) && !this.closing)
          this.rebalances.push({ assign: false, partitions });
        else if (isRevoke(error)) this.unassign(partitions);
      },
    );
    this.consumer.native.on('partition.eof', ({ topic, partition, offset }) => {
      this.ends.set(partitionId({ topic, partition }), offset);
    });
  }

  get name(): string {
    return this.sink.name;
  }

  get waiting(): number | null {
    return this.waitingFrom;
  }

  get partitions(): readonly TopicPartition[] {
    return [...this.positions.values()];
  }

  lag({ topic, partition }: TopicPartition): number | null {
    const id = partitionId({ topic, partition });
    const position = this.positions.get(id);
    if (position === undefined || !this.consumer.native.isConnected()) return null;
    const { highOffset } = this.consumer.native.getWatermarkOffsets(topic, partition);
    return highOffset < 0
      ? null
      : Math.max(0, highOffset - Math.max(position.offset, this.ends.get(id) ?? 0));
  }

  stop(): void {
    this.stopping = true;
  }

  /** @throws PipelineError with verdict stop */
  async run(): Promise<void> {
    try {
      await this.consumer.connect(this.options.timing.connectDeadlineMs);
    } catch (error) {
      throw new PipelineError(
        'kafka_unavailable',
        `Kafka does not answer: ${asError(error).message}`,
        error,
      );
    }
    this.consumer.native.subscribe(this.sink.topics.map(({ name }) => name));
    try {
      while (!this.stopping) await this.cycle();
    } finally {
      await this.close();
    }
  }

  private async cycle(): Promise<void> {
    while (this.rebalances[0] !== undefined) await this.carryOut(this.rebalances[0]);
    await this.linger();
    const records = await this.take();
    const slices = await this.persist(() => this.slices(records));
    if (slices === undefined) return;
    if (slices.length === 0) {
      await this.sayCaughtUp();
      return;
    }
    const full = records.length >= this.options.maxBatch;
    this.lingerUntil = full ? 0 : Date.now() + this.options.lingerMs;
    const started = performance.now();
    this.options.passPoint?.('before-effect');
    const lost = await this.persist(() => this.sink.write(slices));
    if (lost === undefined) return;
    this.options.passPoint?.('after-effect');
    if (lost.length > 0) {
      await this.reload(lost, slices);
      return;
    }
    for (const { topic, partition, next } of slices) {
      this.positions.set(partitionId({ topic, partition }), { topic, partition, offset: next });
    }
    this.options.metrics.written(records.length, performance.now() - started);
    // With offsets of its own this is for lag displays only; without, it is the position. Repeating is harmless.
    this.consumer.native.commit(
      slices.map(({ topic, partition, next }) => ({ topic, partition, offset: next })),
    );
    await this.sayCaughtUp();
  }

  private async linger(): Promise<void> {
    const wait = this.lingerUntil - Date.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
  }

  /** Of partitions that are read to their end, also while others are not: what waits for the slowest must not wait for traffic to end. */
  private async sayCaughtUp(): Promise<void> {
    const { caughtUp } = this.sink;
    const now = Date.now();
    if (caughtUp === undefined || now - this.idleAt < IDLE_EVERY_MS || this.positions.size === 0)
      return;
    const read = this.partitions.filter((one) => this.lag(one) === 0);
    if (read.length === 0) return;
    this.idleAt = now;
    await this.persist(() => caughtUp(read, now - UNSEEN_MS));
  }

  private async take(): Promise<RawRecord[]> {
    try {
      return await this.consumer.take(this.options.maxBatch, WAIT_MS);
    } catch (error) {
      this.options.onEvent({ kind: 'consume_failed', error: asError(error) });
      await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
      return [];
    }
  }

  /** Repeats while a dependency is away; undefined when stopped or when the partitions must be handed back meanwhile. */
  private async persist<T>(attempt: () => Promise<T>): Promise<T | undefined> {
    for (
      let pauseMs: number = RETRY_PAUSE_MS.first;
      ;
      pauseMs = Math.min(pauseMs * 2, RETRY_PAUSE_MS.most)
    ) {
      try {
        const done = await attempt();
        if (this.waitingFrom !== null) this.options.onEvent({ kind: 'recovered' });
        this.waitingFrom = null;
        return done;
      } catch (thrown) {
        if (!(thrown instanceof PipelineError) || !this.waitsOn(thrown)) throw thrown;
        this.waitingFrom ??= Date.now();
        this.options.onEvent({ kind: 'waiting', error: thrown, pauseMs });
        await this.pause(pauseMs);
        if (this.stopping || this.rebalances.length > 0) {
          await this.rewind();
          return undefined;
        }
      }
    }
  }

  /** What is derived can be made again from the topics: its refusal (a wrong token) must not stop anyone's messages. */
  private waitsOn({ verdict }: PipelineError): boolean {
    return verdict === 'retry' || (verdict === 'stop' && this.sink.derived === true);
  }

  /** Keeps polling (the group wants to hear of us) while nothing is fetched. */
  private async pause(pauseMs: number): Promise<void> {
    const owned = [...this.positions.values()];
    if (owned.length > 0) this.consumer.native.pause(owned);
    const end = Date.now() + pauseMs;
    while (Date.now() < end && !this.stopping && this.rebalances.length === 0) await this.take();
    const still = [...this.positions.values()];
    if (still.length > 0) this.consumer.native.resume(still);
  }

  private async slices(records: readonly RawRecord[]): Promise<PartitionSlice<V>[]> {
    await this.options.prepare(records.map(({ value }) => value));
    const found = new Map<
      PartitionId,
      { start: number; next: number; at: TopicPartition; records: KafkaRecord<V>[] }
    >();
    for (const raw of records) {
      const id = partitionId(raw.at);
      const position = this.positions.get(id);
      if (position === undefined || raw.at.offset < position.offset) continue;
      let slice = found.get(id);
      if (slice === undefined) {
        slice = { start: position.offset, next: position.offset, at: raw.at, records: [] };
        found.set(id, slice);
      }
      slice.next = raw.at.offset + 1;
      const value = this.decode(raw);
      if (value === undefined) continue;
      slice.records.push({
        at: raw.at,
        key: raw.key,
        value,
        timestamp: raw.timestamp,
        headers: raw.headers,
        size: raw.value?.length ?? 0,
      });
    }
    return [...found.values()].map(({ at, start, next, records: of }) => ({
      topic: at.topic,
      partition: at.partition,
      start,
      next,
      records: of,
    }));
  }

  /** Only we write these topics: what cannot be read is reported, counted and passed over, never a reason to stop. */
  private decode(raw: RawRecord): V | undefined {
    if (raw.value === null) return undefined;
    try {
      return this.codecs.get(raw.at.topic)?.codec.decode(raw.value);
    } catch (thrown) {
      if (!(thrown instanceof PipelineError) || thrown.verdict !== 'dead-letter') throw thrown;
      this.options.onEvent({ kind: 'unreadable', record: raw, error: thrown });
      return undefined;
    }
  }

  private async carryOut(event: {
    readonly assign: boolean;
    readonly partitions: TopicPartition[];
  }): Promise<void> {
    if (event.assign) {
      const offsets = await this.persistLoad(event.partitions);
      this.rebalances.splice(this.rebalances.indexOf(event), 1);
      if (offsets === undefined) return;
      for (const one of offsets) {
        this.positions.set(partitionId(one), one);
        this.ends.delete(partitionId(one));
      }
      this.consumer.native.incrementalAssign(offsets);
      // A pause outlives its assignment in librdkafka: revoked while we waited for a dependency, it would stand still.
      this.consumer.native.resume([...offsets]);
      this.options.onEvent({ kind: 'assigned', partitions: event.partitions });
    } else {
      this.rebalances.splice(this.rebalances.indexOf(event), 1);
      this.unassign(event.partitions);
      this.options.onEvent({ kind: 'revoked', partitions: event.partitions });
    }
  }

  private async persistLoad(
    partitions: readonly TopicPartition[],
  ): Promise<PartitionOffset[] | undefined> {
    for (
      let pauseMs: number = RETRY_PAUSE_MS.first;
      !this.stopping;
      pauseMs = Math.min(pauseMs * 2, RETRY_PAUSE_MS.most)
    ) {
      try {
        return await this.load(partitions);
      } catch (thrown) {
        if (thrown instanceof PipelineError && !this.waitsOn(thrown)) throw thrown;
        const error =
          thrown instanceof PipelineError
            ? thrown
            : new PipelineError('kafka_unavailable', asError(thrown).message, thrown);
        this.waitingFrom ??= Date.now();
        this.options.onEvent({ kind: 'waiting', error, pauseMs });
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
    return undefined;
  }

  private async load(partitions: readonly TopicPartition[]): Promise<PartitionOffset[]> {
    const begun = await Promise.all(
      partitions.map(async ({ topic, partition }) => ({
        topic,
        partition,
        beginning: (await this.consumer.watermarks({ topic, partition }, 5_000)).low,
      })),
    );
    const stored =
      this.sink.load === null
        ? (await this.consumer.committed(partitions, 5_000)).map(({ offset }) => offset)
        : await this.sink.load(begun);
    return begun.map(({ topic, partition, beginning }, index) => ({
      topic,
      partition,
      offset: stored[index] ?? beginning,
    }));
  }

  /** Another owner was here: what is stored now decides where we go on. */
  private async reload(
    lost: readonly TopicPartition[],
    slices: readonly PartitionSlice<V>[],
  ): Promise<void> {
    this.options.onEvent({ kind: 'lost', partitions: lost });
    const mine = lost.filter((one) => this.positions.has(partitionId(one)));
    const offsets = await this.persistLoad(mine);
    for (const one of offsets ?? []) this.positions.set(partitionId(one), one);
    await this.rewind(slices);
  }

  private async rewind(
    only: readonly TopicPartition[] = [...this.positions.values()],
  ): Promise<void> {
    for (const one of only) {
      const position = this.positions.get(partitionId(one));
      if (position === undefined) continue;
      // Its end was reached by records that are now to come again: it has not caught up.
      this.ends.delete(partitionId(one));
      await this.consumer.seek(position, 5_000);
    }
  }

  private unassign(partitions: readonly TopicPartition[]): void {
    for (const one of partitions) this.positions.delete(partitionId(one));
    try {
      this.consumer.native.incrementalUnassign([...partitions]);
    } catch {
      // The client is going away: nothing is left to hand back.
    }
  }

  private async close(): Promise<void> {
    this.closing = true;
    if (!this.consumer.native.isConnected()) return;
    this.consumer.native.unsubscribe();
    // The revocation that answers unsubscribe comes through a poll; without it handed back, disconnect hangs.
    const bound = Date.now() + this.options.timing.shutdownDeadlineMs / 2;
    while (this.positions.size > 0 && Date.now() < bound)
      await this.consumer.take(1, 20).catch(() => []);
    await this.consumer.disconnect(this.options.timing.shutdownDeadlineMs);
  }
}
