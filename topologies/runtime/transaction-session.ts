import { asError, PipelineError } from '../../schemas/error.js';
import { Assignment } from './assignment.js';
import type { PassPoint } from './crash-points.js';
import { groupSettings } from './group-settings.js';
import { Interrupted, abortable } from './abortable.js';
import { type KafkaClients, rdkafkaClients } from './kafka-clients.js';
import {
  type PartitionId,
  type RawRecord,
  type TopicPartition,
  type Write,
  partitionId,
} from './raw-record.js';
import type { TopicLimits } from './topic-limits.js';
import {
  type ClientSettings,
  type ConsumerClient,
  type PartitionOffset,
  type ProducerClient,
  classify,
  isAssign,
  isRevoke,
  isTimeOut,
  isTooLarge,
  isUnknownMember,
} from './rdkafka-client.js';

export type GroupProtocol = 'classic' | 'consumer';

export interface SessionOptions {
  readonly client: ClientSettings;
  readonly groupId: string;
  /** application, sub-topology, slot: stable across restarts (rule 10). */
  readonly transactionalId: string;
  readonly topics: readonly string[];
  readonly groupProtocol: GroupProtocol;
  readonly timing: SessionTiming;
  /** How long the broker may hold a question for records that it has none of. */
  readonly fetchWaitMs?: number;
  /** Default: librdkafka's. */
  readonly clients?: KafkaClients;
  /** What topics take. A broker that refuses a size has them read anew. */
  readonly limits?: TopicLimits;
  readonly passPoint?: PassPoint | undefined;
}

export interface SessionTiming {
  /** A killed worker's open transaction blocks readers so long (rule 11). */
  readonly transactionTimeoutMs: number;
  /** A killed worker's partitions stand still so long (classic groups). */
  readonly sessionTimeoutMs: number;
  /** Work on partitions being revoked is finished within this, else dropped (rule 7). */
  readonly revokeBoundMs: number;
  readonly connectDeadlineMs: number;
  readonly shutdownDeadlineMs: number;
}

export const DEFAULT_TIMING: SessionTiming = {
  transactionTimeoutMs: 5_000,
  sessionTimeoutMs: 6_000,
  revokeBoundMs: 8_000,
  connectDeadlineMs: 10_000,
  shutdownDeadlineMs: 10_000,
};

/** Who keeps the state of the session's partitions. */
export interface SessionOwner {
  /** Restore these partitions' state; they are not read before this resolves (rule 6). */
  readonly restore: (partitions: readonly TopicPartition[]) => Promise<void>;
  /** Restored for the first time under this assignment. */
  readonly assigned: (partitions: readonly TopicPartition[]) => void;
  /** Finish what was taken of these partitions and commit it; called at most once each, bounded. */
  readonly finish: (partitions: readonly TopicPartition[]) => Promise<void>;
  /** They belong to another now: forget their state. */
  readonly gone: (partitions: readonly TopicPartition[]) => void;
  readonly onEvent: (event: SessionEvent) => void;
}

export type SessionEvent =
  | { readonly kind: 'assigned' | 'revoked'; readonly partitions: readonly TopicPartition[] }
  | {
      readonly kind: 'aborted' | 'unclear' | 'producer_renewed' | 'consume_failed';
      readonly error: Error;
    };

/** Records with the assignment epochs under which they were taken. */
export interface Batch {
  readonly records: readonly RawRecord[];
  readonly epochs: ReadonlyMap<PartitionId, number>;
}

/** What one transaction covers. */
export interface Unit {
  /** Every partition whose records, state or answers it touches, with the epoch of that work (rules 3, 4). */
  readonly touched: ReadonlyMap<PartitionId, number>;
  /** The next offset of partitions whose records it finishes: last offset + 1 (rule 1). */
  readonly next: readonly PartitionOffset[];
  readonly writes: readonly Write[];
}

/** Records that are there already share the transaction of what woke us: half as many transactions under load. */
const GRACE_MS = 4;
/** Short: whoever stops or hands partitions back waits for it. */
const AHEAD_WAIT_MS = 50;
const grace = (): Promise<null> =>
  new Promise((resolve) =>
    setTimeout(() => {
      resolve(null);
    }, GRACE_MS),
  );
/** Between asking the group whether we are a member, where its answer said neither. */
const MEMBER_PAUSE_MS = 200;
/** The first is followed by what the cluster says; one more may have been decided before. */
const MAX_SIZE_REFUSALS = 3;

type Rebalance = { readonly kind: 'assign' | 'revoke'; readonly partitions: TopicPartition[] };
type Outcome = 'committed' | 'aborted';

/**
 * Owns a consumer and a transactional producer: input offsets and outputs commit together or not at all.
 * The rules (1-17) are numbered in docs/effectively-once.md. Modelled on franz-go's GroupTransactSession.
 * Not safe for concurrent use, except `stopWaiting`.
 */
export class TransactionSession {
  private readonly assignment = new Assignment();
  private readonly rebalances: Rebalance[] = [];
  private readonly consumer: ConsumerClient;
  private producer: ProducerClient;
  private fetching: Promise<RawRecord[]> | null = null;
  /** `fetching` was begun ahead of the take that it is for: more may have come since. */
  private ahead = false;
  private held: RawRecord[] = [];
  private committing = false;
  private backPressure = false;
  private closing = false;
  private readonly leaving = new AbortController();
  /** Some time after `leaving`: what Kafka does not answer by then stays unknown. */
  private readonly outOfPatience = new AbortController();
  /** Transactions in a row that were refused for a size. */
  private sizeRefusals = 0;

  private readonly ends = new Map<PartitionId, number>();
  private readonly options: SessionOptions;
  private readonly owner: SessionOwner;

  constructor(options: SessionOptions, owner: SessionOwner) {
    this.options = options;
    this.owner = owner;
    const { groupProtocol, timing, fetchWaitMs, clients = rdkafkaClients } = options;
    this.consumer = clients.consumer(
      {
        ...options.client,
        ...groupSettings(options.groupId, groupProtocol, timing),
        ...(fetchWaitMs !== undefined && { 'fetch.wait.max.ms': fetchWaitMs }),
      },
      (error, partitions) => {
        this.rebalance(error, partitions);
      },
    );
    this.consumer.native.on('partition.eof', ({ topic, partition, offset }) => {
      this.ends.set(partitionId({ topic, partition }), offset);
    });
    this.producer = this.newProducer();
  }

  /**
   * @throws PipelineError kafka_unavailable: nothing is left connected, so that the process can end
   * @throws Interrupted once `leave` was asked: a former holder's transaction may take its time to end
   */
  async start(): Promise<void> {
    const started = await abortable(
      Promise.allSettled([
        this.consumer.connect(this.options.timing.connectDeadlineMs),
        this.initialise(this.producer),
      ]),
      this.leaving.signal,
    );
    const failed = started.find((one) => one.status === 'rejected');
    if (failed !== undefined) {
      await this.close();
      throw new PipelineError(
        'kafka_unavailable',
        `Kafka does not answer: ${asError(failed.reason).message}`,
        failed.reason,
      );
    }
    this.consumer.native.subscribe([...this.options.topics]);
  }

  get partitions(): readonly TopicPartition[] {
    return this.assignment.partitions;
  }

  epoch(id: PartitionId): number | undefined {
    return this.assignment.epoch(id);
  }

  /** Local watermark (the last stable offset) against position; null where nothing was fetched yet (rule 17). */
  lag({ topic, partition }: TopicPartition): number | null {
    const position = this.assignment.position(partitionId({ topic, partition }));
    if (position === undefined || !this.consumer.native.isConnected()) return null;
    const { highOffset } = this.consumer.native.getWatermarkOffsets(topic, partition);
    return highOffset < 0
      ? null
      : Math.max(0, highOffset - Math.max(position.offset, this.eof(topic, partition)));
  }

  private eof(topic: string, partition: number): number {
    return this.ends.get(partitionId({ topic, partition })) ?? 0;
  }

  /**
   * What has arrived, at most max, waiting up to waitMs for the first record; empty when `wake` resolves GRACE_MS earlier.
   * Pending rebalances are carried out first.
   */
  async take(max: number, waitMs: number, wake: Promise<unknown>): Promise<Batch> {
    await this.carryOutRebalances();
    this.resumeDue();
    let records = this.held;
    this.held = [];
    if (records.length === 0) {
      this.fetching ??= this.fetch(max, waitMs);
      const fetched = await Promise.race([this.fetching, wake.then(grace)]);
      if (fetched !== null) {
        this.fetching = null;
        const rest = this.ahead && fetched.length > 0 ? max - fetched.length : 0;
        this.ahead = false;
        records = rest <= 0 ? fetched : fetched.concat(await this.fetch(rest, 0));
      }
    }
    const epochs = new Map<PartitionId, number>();
    const mine = records.filter(({ at }) => {
      const id = partitionId(at);
      const epoch = this.assignment.epoch(id);
      if (epoch === undefined) return false;
      epochs.set(id, epoch);
      return true;
    });
    return { records: mine, epochs };
  }

  /**
   * Before a pause: takes what the client has, so that it asks the broker for more meanwhile. It asks only once it has
   * nothing left, and what came during the last transaction would not be in the next batch but in the one after.
   */
  takeAhead(max: number): void {
    if (this.fetching !== null || this.held.length > 0 || this.backPressure) return;
    this.ahead = true;
    this.fetching = this.fetch(max, AHEAD_WAIT_MS);
  }

  /**
   * One transaction. 'aborted': nothing of it is visible and reading starts again at the committed offsets
   * (rule 2); the caller drops what it staged (rule 5).
   * @throws Interrupted while leaving, where Kafka does not tell how it ended: as a crash would leave it
   */
  async commit(unit: Unit): Promise<Outcome> {
    if (!this.stillOurs(unit)) return this.rewound();
    const next = new Map(unit.next.map((one) => [partitionId(one), one]));
    const offsets = [...unit.touched.keys()].flatMap(
      (id) => next.get(id) ?? this.assignment.position(id) ?? [],
    );
    this.committing = true;
    let renew = false;
    try {
      await this.producer.begin();
      const { transactionTimeoutMs } = this.options.timing;
      await this.producer.produce(unit.writes, transactionTimeoutMs / 2);
      this.options.passPoint?.('before-offsets');
      await this.sendOffsets(offsets);
      if (this.options.passPoint !== undefined) {
        // Who dies here shall leave outputs on the brokers, uncommitted; else only the commit sends them.
        await this.producer.flush(transactionTimeoutMs / 2);
        this.options.passPoint('after-offsets-sent');
      }
      renew = true; // from here on a time-out leaves the outcome open (rule 8)
      await this.producer.commit(transactionTimeoutMs);
      this.options.passPoint?.('after-commit');
      this.assignment.moved(offsets);
      this.sizeRefusals = 0;
      return 'committed';
    } catch (error) {
      this.owner.onEvent({ kind: 'aborted', error: asError(error) });
      const { limits } = this.options;
      if (limits !== undefined && isTooLarge(error))
        return await this.sizeRefused(limits, asError(error));
      const failure = classify(error);
      if (failure === 'fatal' || isTimeOut(error) || (renew && failure !== 'abortable')) {
        return await this.unclear(offsets, asError(error), renew && failure !== 'fatal');
      }
      return await this.abort(offsets);
    } finally {
      this.committing = false;
    }
  }

  /** Reads this partition again from `offset`, not before untilMs; others go on. */
  async defer(from: PartitionOffset, untilMs: number): Promise<void> {
    const id = partitionId(from);
    if (this.assignment.epoch(id) === undefined) return;
    this.assignment.defer(id, untilMs);
    this.consumer.native.pause([from]);
    this.ends.delete(id);
    await this.drainFetch((record) => partitionId(record.at) !== id);
    await this.consumer.seek(from, 5_000);
  }

  /** Stop or go on fetching while polling goes on (rule 16). */
  pressBack(on: boolean): void {
    if (on === this.backPressure) return;
    this.backPressure = on;
    const deferred = new Set(this.assignment.deferred.map(partitionId));
    const others = this.assignment.partitions.filter((one) => !deferred.has(partitionId(one)));
    if (others.length === 0) return;
    if (on) this.consumer.native.pause([...others]);
    else this.consumer.native.resume([...others]);
  }

  /** Throw away what was taken and read again from the committed offsets. */
  async rewind(): Promise<void> {
    await this.drainFetch(() => false);
    this.held = [];
    for (const position of this.assignment.positions) {
      // The end was reached by records that are now to come again: what is waiting shows as lag until then.
      this.ends.delete(partitionId(position));
      await this.consumer.seek(position, 5_000);
    }
  }

  /**
   * From now on nothing new is taken over: what is being restored, or comes, is handed back unread by `close`. What is
   * owned can still be finished, while Kafka answers within `revokeBoundMs`; then whoever waits hears Interrupted.
   */
  leave(): void {
    this.leaving.abort();
    setTimeout(() => {
      this.outOfPatience.abort();
    }, this.options.timing.revokeBoundMs).unref();
  }

  /** Leaves the group with its partitions handed back first: otherwise disconnect can hang (docs/effectively-once.md). */
  async close(): Promise<void> {
    this.closing = true;
    const end = Date.now() + this.options.timing.shutdownDeadlineMs;
    await this.drainFetch(() => false);
    if (this.consumer.native.isConnected()) {
      this.answerRebalances();
      this.consumer.native.unsubscribe();
      // The revocation that answers unsubscribe comes through a poll; without it handed back, disconnect hangs.
      const bound = Date.now() + this.options.timing.shutdownDeadlineMs / 2;
      while (this.assignment.partitions.length > 0 && Date.now() < bound) {
        await this.consumer.take(1, 20).catch(() => []);
      }
      await this.consumer.disconnect(Math.max(1_000, end - Date.now()));
    }
    await this.producer.disconnect(Math.max(1_000, end - Date.now()));
  }

  private newProducer(): ProducerClient {
    return (this.options.clients ?? rdkafkaClients).producer({
      ...this.options.client,
      'transactional.id': this.options.transactionalId,
      'transaction.timeout.ms': this.options.timing.transactionTimeoutMs,
      // Nothing is sent before the commit flushes: one batch a partition. What is handed over while five records of
      // its partition are in flight makes librdkafka (2.12) turn without a pause until they are answered: one whole
      // processor for as long as a broker is slow (1.87 s of CPU in 2 s, against 0.01 s).
      'linger.ms': this.options.timing.transactionTimeoutMs / 2,
      ...(this.options.limits && { 'batch.size': this.options.limits.batchBytes }),
    });
  }

  private async initialise(producer: ProducerClient): Promise<void> {
    const { connectDeadlineMs } = this.options.timing;
    await producer.connect(connectDeadlineMs);
    // A former holder's open transaction is ended by this; it may have to wait for the broker to do so.
    await producer.initTransactions(connectDeadlineMs * 2);
  }

  private stillOurs(unit: Unit): boolean {
    return [...unit.touched].every(([id, epoch]) => this.assignment.epoch(id) === epoch);
  }

  private async rewound(): Promise<Outcome> {
    await this.rewind();
    return 'aborted';
  }

  private async sendOffsets(offsets: readonly PartitionOffset[]): Promise<void> {
    if (offsets.length === 0) return; // late answers only: nothing of ours is read or changed
    const end = Date.now() + this.options.timing.transactionTimeoutMs;
    for (;;) {
      try {
        await this.producer.sendOffsets(offsets, this.consumer, Math.max(500, end - Date.now()));
        return;
      } catch (error) {
        if (classify(error) !== 'retriable' || isTimeOut(error) || Date.now() > end) throw error;
      }
    }
  }

  private async abort(offsets: readonly PartitionOffset[]): Promise<Outcome> {
    try {
      await this.producer.abort(this.options.timing.transactionTimeoutMs);
    } catch (error) {
      return this.unclear(offsets, asError(error), false);
    }
    return this.rewound();
  }

  /**
   * A topic takes less than we know: its max.message.bytes was lowered. Learnt anew, records that are too large are
   * buried when they are decided again, and a new producer makes no batch that is larger.
   * @throws PipelineError topic_too_small: learning did not help, it would be refused for ever
   */
  private async sizeRefused(limits: TopicLimits, error: Error): Promise<Outcome> {
    this.sizeRefusals += 1;
    if (this.sizeRefusals > MAX_SIZE_REFUSALS)
      throw new PipelineError(
        'topic_too_small',
        `Kafka refuses a record's size: ${error.message}. Run \`millrace topics apply\`, or raise the topic's max.message.bytes`,
        error,
      );
    await this.insist(() => limits.refresh());
    // Ends the transaction too.
    await this.renewProducer();
    return this.rewound();
  }

  /**
   * Rule 8: a new producer under the same id ends the old transaction either way; then Kafka says which way.
   * @param maybe false: its commit was never sent, or was refused. Offsets must not be asked then: who took our
   * partitions over while we were frozen has committed the same ones, and we would make its calls a second time.
   */
  private async unclear(
    offsets: readonly PartitionOffset[],
    error: Error,
    maybe: boolean,
  ): Promise<Outcome> {
    this.owner.onEvent({ kind: 'unclear', error });
    await this.renewProducer();
    if (!maybe || offsets.length === 0) return this.rewound();
    const stored = new Map(
      (await this.insist(() => this.consumer.committed(offsets, 5_000))).map((one) => [
        partitionId(one),
        one.offset,
      ]),
    );
    const position = (one: PartitionOffset): number =>
      this.assignment.position(partitionId(one))?.offset ?? one.offset;
    const ours = await this.stillMember(
      offsets.map((one) => ({ ...one, offset: stored.get(partitionId(one)) ?? position(one) })),
    );
    // Whatever is stored may be another's; what we hold is refused, and goes when we hear that the partitions are lost.
    if (ours === 'no') return this.rewound();
    const moved = offsets.filter((one) => position(one) !== one.offset);
    const tookPlace =
      moved.length > 0 && moved.every((one) => stored.get(partitionId(one)) === one.offset);
    if (tookPlace) this.assignment.moved(offsets);
    if (tookPlace && ours === 'yes') return 'committed';
    // Offsets do not tell: only the changelog knows (rule 5).
    if (moved.length === 0 || ours === 'unknown')
      await this.insist(() => this.owner.restore(this.assignment.partitions));
    // By us or by who came after us: what was claimed is found open, and not begun.
    if (ours === 'unknown') this.owner.assigned(this.assignment.partitions);
    return this.rewound();
  }

  /**
   * Offsets alone do not tell whose commit it was, nor does a changelog: frozen past our session, we find what came
   * after us, and would make its calls a second time. A transaction that changes nothing asks the group. Where it still
   * has us as a member nobody else can have had these partitions, for they are handed back in `carryOutRevoke` only.
   * @param offsets as they are stored
   */
  private async stillMember(
    offsets: readonly PartitionOffset[],
  ): Promise<'yes' | 'no' | 'unknown'> {
    const { sessionTimeoutMs, transactionTimeoutMs } = this.options.timing;
    const end = Date.now() + sessionTimeoutMs;
    for (;;) {
      try {
        await this.producer.begin();
        await this.sendOffsets(offsets);
        await this.producer.commit(transactionTimeoutMs);
        return 'yes';
      } catch (error) {
        this.owner.onEvent({ kind: 'unclear', error: asError(error) });
        await this.renewProducer();
        if (isUnknownMember(error)) return 'no';
        // A new generation is heard of in the background; a member that was forgotten is not heard of before it polls.
        if (Date.now() > end) return 'unknown';
        await new Promise((resolve) => setTimeout(resolve, MEMBER_PAUSE_MS));
      }
    }
  }

  private async renewProducer(): Promise<void> {
    const old = this.producer;
    await this.insist(async () => {
      const fresh = this.newProducer();
      try {
        await this.initialise(fresh);
        this.outOfPatience.signal.throwIfAborted();
      } catch (error) {
        void fresh.disconnect(1_000);
        throw error;
      }
      this.producer = fresh;
    });
    // A native call that timed out may still use the old client: freed late, never under it.
    setTimeout(() => void old.disconnect(1_000), 15_000).unref();
  }

  /** Retry until it works: what follows depends on it. @throws Interrupted where it does not while leaving */
  private insist<T>(attempt: () => Promise<T>): Promise<T> {
    return abortable(this.untilItWorks(attempt), this.outOfPatience.signal);
  }

  private async untilItWorks<T>(attempt: () => Promise<T>): Promise<T> {
    for (let pauseMs = 100; ; pauseMs = Math.min(pauseMs * 2, 2_000)) {
      try {
        return await attempt();
      } catch (error) {
        // Trying again helps only against what may pass: state of a newer release, or a defect, will not.
        if (error instanceof PipelineError && error.verdict !== 'retry') throw error;
        this.owner.onEvent({ kind: 'producer_renewed', error: asError(error) });
        if (this.closing || this.outOfPatience.signal.aborted) throw error;
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
  }

  private async fetch(max: number, waitMs: number): Promise<RawRecord[]> {
    try {
      return await this.consumer.take(max, waitMs);
    } catch (error) {
      this.owner.onEvent({ kind: 'consume_failed', error: asError(error) });
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      return [];
    }
  }

  private async drainFetch(keep: (record: RawRecord) => boolean): Promise<void> {
    const fetched = this.fetching === null ? [] : await this.fetching;
    this.fetching = null;
    this.ahead = false;
    this.held = [...this.held, ...fetched].filter(keep);
  }

  private resumeDue(): void {
    const due = this.assignment.due(Date.now());
    if (due.length > 0 && !this.backPressure) this.consumer.native.resume(due);
  }

  private rebalance(error: unknown, partitions: TopicPartition[]): void {
    if (isRevoke(error)) this.queueRevoke(partitions);
    else if (isAssign(error)) {
      this.rebalances.push({ kind: 'assign', partitions });
      if (this.closing) this.answerRebalances();
    }
  }

  private queueRevoke(partitions: TopicPartition[]): void {
    if (this.closing) {
      this.giveUp(partitions);
      return;
    }
    const event: Rebalance = { kind: 'revoke', partitions };
    this.rebalances.push(event);
    const force = () => {
      const at = this.rebalances.indexOf(event);
      if (at < 0) return;
      if (this.committing) {
        setTimeout(force, 100);
        return;
      }
      this.rebalances.splice(at, 1);
      this.giveUp(partitions);
    };
    setTimeout(force, this.options.timing.revokeBoundMs).unref();
  }

  /** librdkafka goes no further before each callback is answered: unanswered ones would hold up leaving. */
  private answerRebalances(): void {
    for (const { kind, partitions } of this.rebalances.splice(0)) {
      if (kind === 'revoke') {
        this.giveUp(partitions);
        continue;
      }
      try {
        this.consumer.native.incrementalAssign(partitions);
        // Never read: only so that leaving waits until they are handed back.
        this.assignment.add(partitions.map((one) => ({ ...one, offset: 0 })));
      } catch {
        // It was taken back meanwhile: nothing is left to answer.
      }
    }
  }

  private async carryOutRebalances(): Promise<void> {
    for (;;) {
      const event = this.rebalances[0];
      // Who leaves answers them all as it closes.
      if (event === undefined || this.leaving.signal.aborted) return;
      if (event.kind === 'assign') await this.carryOutAssign(event);
      else await this.carryOutRevoke(event);
    }
  }

  private async carryOutAssign(event: Rebalance): Promise<void> {
    const { partitions } = event;
    // What is still held of an earlier assignment of these is older than where they begin now.
    const ids = new Set(partitions.map(partitionId));
    await this.drainFetch(({ at }) => !ids.has(partitionId(at)));
    for (const id of ids) this.ends.delete(id);
    const offsets = await this.restored(partitions);
    if (offsets === null) return;
    this.rebalances.splice(this.rebalances.indexOf(event), 1);
    this.assignment.add(offsets);
    this.owner.assigned(partitions);
    this.owner.onEvent({ kind: 'assigned', partitions });
    try {
      this.consumer.native.incrementalAssign(offsets);
      // A pause outlives its assignment in librdkafka: given up while paused, a partition came back and stood still.
      this.consumer.native.resume([...partitions]);
      const again = this.backPressure ? this.assignment.partitions : this.assignment.deferred;
      if (again.length > 0) this.consumer.native.pause([...again]);
    } catch (error) {
      // The assignment was taken back meanwhile; the next callback says what is ours.
      this.assignment.remove(partitions);
      this.owner.gone(partitions);
      this.owner.onEvent({ kind: 'consume_failed', error: asError(error) });
    }
  }

  /** Where to begin, once their state is here; null: we are leaving. */
  private async restored(partitions: readonly TopicPartition[]): Promise<PartitionOffset[] | null> {
    const restoring = async (): Promise<PartitionOffset[]> => {
      const offsets = await this.insist(() => this.startOffsets(partitions));
      await this.insist(() => this.owner.restore(partitions));
      return offsets;
    };
    try {
      return await abortable(restoring(), this.leaving.signal);
    } catch (error) {
      if (error instanceof Interrupted) return null;
      throw error;
    }
  }

  /** Rule 2: the committed offset, or the beginning where there is none. */
  private async startOffsets(partitions: readonly TopicPartition[]): Promise<PartitionOffset[]> {
    const committed = await this.consumer.committed(partitions, 5_000);
    return Promise.all(
      committed.map(async ({ topic, partition, offset }) => ({
        topic,
        partition,
        offset: offset ?? (await this.consumer.watermarks({ topic, partition }, 5_000)).low,
      })),
    );
  }

  private async carryOutRevoke(event: Rebalance): Promise<void> {
    const { partitions } = event;
    await this.drainFetch(
      (record) => !partitions.some((one) => partitionId(one) === partitionId(record.at)),
    );
    const bound = new Promise<void>((resolve) =>
      // Later than the owner's own bound: two transactions at once would end each other.
      setTimeout(resolve, this.options.timing.revokeBoundMs * 0.75).unref(),
    );
    await Promise.race([this.owner.finish(partitions), bound]);
    // A transaction under way ends within its own time-outs: partitions are not given up under it.
    while (this.committing) await new Promise((resolve) => setTimeout(resolve, 10));
    const at = this.rebalances.indexOf(event);
    if (at < 0) return;
    this.rebalances.splice(at, 1);
    this.giveUp(partitions);
  }

  private giveUp(partitions: readonly TopicPartition[]): void {
    this.assignment.remove(partitions);
    this.owner.gone(partitions);
    this.owner.onEvent({ kind: 'revoked', partitions });
    this.unassign(partitions);
  }

  private unassign(partitions: readonly TopicPartition[]): void {
    try {
      this.consumer.native.incrementalUnassign([...partitions]);
    } catch {
      // The client is going away (node-rdkafka #1144): nothing is left to hand back.
    }
  }
}
