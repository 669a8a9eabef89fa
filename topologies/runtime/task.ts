import type { EpochMs } from '../../schemas/brand.js';
import { asError, isRetry, PipelineError } from '../../schemas/error.js';
import type { Topic } from '../../schemas/record.js';
import type { AnyAnswer } from '../topology.js';
import { inputTopics } from './chain-stages.js';
import {
  ChainRun,
  type ChainMetrics,
  type ChainStage,
  type ClaimedCall,
  type Input,
  Shard,
} from './chain.js';
import type { ChangelogReader } from './changelog-reader.js';
import { deadLetter } from './dead-letters.js';
import { Interrupted } from './abortable.js';
import {
  type PartitionId,
  type RawRecord,
  type TopicPartition,
  partitionId,
} from './raw-record.js';
import type { PartitionOffset } from './rdkafka-client.js';
import { restoreShards } from './restore.js';
import type { TopicLimits } from './topic-limits.js';
import {
  type Batch,
  type SessionEvent,
  type SessionOptions,
  type SessionOwner,
  TransactionSession,
} from './transaction-session.js';

/** How long a take waits for a first record; a rebalance or an answer is noticed within it. */
const WAIT_MS = 200;
const TICK_MS = 1_000;
/** How often finishing looks whether the calls under way have been answered. */
const FINISH_POLL_MS = 20;
/** Queue ages observed per batch at most, evenly spread: a histogram of every record would cost more than deciding it. */
const AGES_A_BATCH = 20;
/** A revocation, or an answer, is kept waiting no longer. */
const MAX_REST_MS = 500;
const MAX_PACE_MS = 50;
const RETRY_PAUSE_MS = { first: 100, most: 5_000 } as const;

export interface TaskMetrics extends ChainMetrics {
  readonly transaction: (
    outcome: 'committed' | 'aborted',
    records: number,
    milliseconds: number,
  ) => void;
  readonly queueAge: (milliseconds: number) => void;
  readonly inFlight: (calls: number) => void;
}

export interface TaskOptions {
  readonly name: string;
  readonly stages: readonly ChainStage[];
  readonly changelogs: ReadonlyMap<string, Topic<unknown>>;
  readonly deadLetters: string;
  /** What topics take; absent: anything. */
  readonly limits?: TopicLimits;
  readonly session: Omit<SessionOptions, 'topics' | 'limits'>;
  readonly reader: ChangelogReader;
  readonly prepare: (values: readonly (Buffer | null)[]) => Promise<void>;
  readonly now: () => EpochMs;
  readonly metrics: TaskMetrics;
  /** Records a transaction takes at most. */
  readonly maxBatch: number;
  /** Calls under way at most; beyond, reading pauses. */
  readonly maxInFlight: number;
  /** Transactions are at least so far apart unless batches are full: where nobody waits for the result. Default 0. */
  readonly lingerMs?: number;
  /** After a transaction, so many times as long as it took, at most MAX_REST_MS: what urgent lanes' tasks then have. Default 0. */
  readonly rest?: number;
  /**
   * After a transaction that was not full, so many times as long as it took, at most MAX_PACE_MS: what comes meanwhile
   * shares the next one. Where brokers are busy with transactions rather than records, all are sooner done. Default 0.
   */
  readonly pace?: number;
  readonly onEvent: (event: SessionEvent | TaskEvent) => void;
}

export type TaskEvent =
  | { readonly kind: 'waiting'; readonly error: PipelineError; readonly pauseMs: number }
  | { readonly kind: 'recovered' }
  | { readonly kind: 'dead_letter'; readonly record: RawRecord; readonly error: PipelineError }
  | { readonly kind: 'after_commit_failed'; readonly error: Error }
  /** Stopped while it was not known how a transaction ended: its successor finds out, as after a crash. */
  | { readonly kind: 'interrupted'; readonly error: Error };

interface Answered {
  readonly claimed: ClaimedCall;
  readonly epoch: number;
  readonly answer: AnyAnswer;
}

interface Deferral {
  readonly from: PartitionOffset;
  readonly untilMs: EpochMs;
}

/**
 * A chain of stages over the partitions that its session owns: takes a batch, gathers, decides, and commits
 * outputs, state and offsets in one transaction; calls follow the commit, their answers enter later transactions.
 */
export class Task implements SessionOwner {
  private readonly session: TransactionSession;
  private readonly shards = new Map<PartitionId, Shard>();
  /** Restored and not yet asked what a former owner left open. */
  private readonly fresh = new Set<Shard>();
  private readonly topics: ReadonlyMap<string, Topic<unknown>>;
  /** Taken over in stores outside Kafka, under this assignment epoch (rule 18). */
  private readonly takenOver = new Map<PartitionId, number>();
  private answers: Answered[] = [];
  private readonly callsOf = new Map<PartitionId, number>();
  private callsUnderWay = 0;
  private stopping = false;
  private waitingSince: EpochMs | null = null;
  private lastTick = 0;
  private lingerUntil = 0;
  /** Waits in a row for a dependency. */
  private attempts = 0;
  private wakeUp: () => void = () => undefined;
  private wake: Promise<void> = Promise.resolve();
  private readonly options: TaskOptions;

  constructor(options: TaskOptions) {
    this.options = options;
    this.topics = inputTopics(options.stages.map(({ definition }) => definition));
    this.session = new TransactionSession(
      {
        ...options.session,
        topics: [...this.topics.keys()],
        ...(options.limits && { limits: options.limits }),
      },
      this,
    );
    this.armWake();
  }

  get name(): string {
    return this.options.name;
  }

  get partitions(): readonly TopicPartition[] {
    return this.session.partitions;
  }

  lag(partition: TopicPartition): number | null {
    return this.session.lag(partition);
  }

  /** Since when this task waits for a dependency; null where it works. */
  get waiting(): EpochMs | null {
    return this.waitingSince;
  }

  /**
   * Runs until `stop`, then leaves the group with nothing half done.
   * @throws PipelineError with verdict stop: a person must act
   */
  async run(): Promise<void> {
    try {
      await this.session.start();
      while (!this.stopping) await this.cycle();
      await this.finish(this.session.partitions);
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error;
      this.options.onEvent({ kind: 'interrupted', error });
    } finally {
      await this.session.close();
    }
  }

  stop(): void {
    this.stopping = true;
    this.session.leave();
    this.wakeUp();
  }

  // --- SessionOwner ---------------------------------------------------------------------------------------------

  async restore(partitions: readonly TopicPartition[]): Promise<void> {
    const { stages, changelogs, reader, prepare, now } = this.options;
    const shards = partitions.map(
      (one) => this.shards.get(partitionId(one)) ?? new Shard(one.topic, one.partition, stages),
    );
    await restoreShards(shards, {
      changelogs,
      read: (partition, visit) => reader.read(partition, visit),
      prepare,
      now: now(),
    });
    for (const shard of shards) this.shards.set(shard.id, shard);
  }

  assigned(partitions: readonly TopicPartition[]): void {
    for (const one of partitions) {
      const shard = this.shards.get(partitionId(one));
      if (shard !== undefined) this.fresh.add(shard);
    }
  }

  async finish(partitions: readonly TopicPartition[]): Promise<void> {
    const ids = partitions.map(partitionId);
    const deadline = Date.now() + this.options.session.timing.revokeBoundMs / 2;
    while (ids.some((id) => (this.callsOf.get(id) ?? 0) > 0) && Date.now() < deadline) {
      const pause = new Promise((resolve) => setTimeout(resolve, FINISH_POLL_MS));
      // Answers that are here keep `wake` resolved: waiting for it would spin, and let nobody else's answer in.
      await (this.answers.length > 0 ? pause : Promise.race([this.wake, pause]));
      this.armWake();
    }
    if (this.answers.length > 0) await this.transact({ records: [], epochs: new Map() }, false);
  }

  gone(partitions: readonly TopicPartition[]): void {
    for (const one of partitions) {
      const shard = this.shards.get(partitionId(one));
      if (shard === undefined) continue;
      this.shards.delete(shard.id);
      this.fresh.delete(shard);
      this.takenOver.delete(shard.id);
    }
  }

  onEvent(event: SessionEvent): void {
    this.options.onEvent(event);
  }

  // --- one cycle ------------------------------------------------------------------------------------------------

  private async cycle(): Promise<void> {
    this.session.pressBack(this.callsUnderWay >= this.options.maxInFlight);
    await this.linger();
    const batch = await this.session.take(this.options.maxBatch, WAIT_MS, this.wake);
    // The answers of one batch come in one turn each: together they are one transaction, not many.
    if (this.callsUnderWay > 0) await new Promise((resolve) => setImmediate(resolve));
    this.armWake();
    const { maxBatch, lingerMs = 0 } = this.options;
    this.lingerUntil = batch.records.length >= maxBatch ? 0 : Date.now() + lingerMs;
    const ticking = Date.now() - this.lastTick >= TICK_MS;
    if (ticking) this.lastTick = Date.now();
    if (
      batch.records.length === 0 &&
      this.answers.length === 0 &&
      this.fresh.size === 0 &&
      !ticking
    )
      return;
    try {
      const began = Date.now();
      await this.transact(batch, ticking);
      this.rest(Date.now() - began, batch.records.length);
      // A tick asks nobody: only work that was done again shows that the dependency is back.
      if (batch.records.length > 0) this.recovered();
    } catch (thrown) {
      if (!isRetry(thrown)) throw thrown;
      await this.waitFor(thrown);
    }
  }

  private rest(tookMs: number, records: number): void {
    const { rest = 0, pace = 0, maxBatch } = this.options;
    const paceMs = records === 0 || records >= maxBatch ? 0 : pace * tookMs;
    this.lingerUntil = Math.max(
      this.lingerUntil,
      Date.now() + Math.min(MAX_REST_MS, rest * tookMs),
      Date.now() + Math.min(MAX_PACE_MS, paceMs),
    );
  }

  private async linger(): Promise<void> {
    const wait = this.lingerUntil - Date.now();
    if (wait <= 0) return;
    this.session.takeAhead(this.options.maxBatch);
    await new Promise((resolve) => setTimeout(resolve, wait));
  }

  /** A dependency is away: nothing is skipped; the batch is read again, and the group keeps its member. */
  private async waitFor(error: PipelineError): Promise<void> {
    this.waitingSince ??= Date.now();
    const pause = Math.min(
      RETRY_PAUSE_MS.first * 2 ** Math.min(this.attempts, 10),
      RETRY_PAUSE_MS.most,
    );
    this.attempts += 1;
    this.options.onEvent({ kind: 'waiting', error, pauseMs: pause });
    await this.session.rewind();
    this.session.pressBack(true);
    const end = Date.now() + pause;
    while (Date.now() < end && !this.stopping) {
      await this.session.take(1, WAIT_MS, new Promise(() => undefined));
    }
    this.session.pressBack(false);
  }

  private recovered(): void {
    if (this.waitingSince === null) return;
    this.waitingSince = null;
    this.attempts = 0;
    this.options.onEvent({ kind: 'recovered' });
  }

  private async transact(batch: Batch, ticking: boolean): Promise<void> {
    if (!(await this.takeOver(batch))) return;
    const started = performance.now();
    const answers = this.answers;
    this.answers = [];
    const run = this.newRun();
    let deferrals: readonly Deferral[];
    const touched = new Map(batch.epochs);
    const next = new Map<PartitionId, PartitionOffset>();
    try {
      await this.options.prepare(batch.records.map(({ value }) => value));
      for (const shard of this.fresh) run.wake(shard, 'restored');
      const read = this.decode(batch.records, run);
      deferrals = read.deferrals;
      const step = Math.ceil(read.inputs.length / AGES_A_BATCH);
      for (let i = 0; i < read.inputs.length; i += step) {
        this.options.metrics.queueAge(
          Date.now() - (read.inputs[i]?.input.raw.timestamp ?? Date.now()),
        );
      }
      for (const [id, offset] of read.next) next.set(id, offset);
      await run.run(read.inputs);
      for (const { claimed, epoch, answer } of answers) {
        if (this.session.epoch(claimed.shard.id) === epoch)
          run.answer(claimed.stage, claimed.shard, answer);
        else run.late(claimed.stage, claimed.shard, answer);
      }
      if (ticking) for (const shard of this.shards.values()) run.wake(shard, 'tick');
      run.finish();
      for (const shard of run.touched) {
        const epoch = this.session.epoch(shard.id);
        if (epoch !== undefined && !touched.has(shard.id)) touched.set(shard.id, epoch);
      }
    } catch (error) {
      this.putBack(run, answers);
      // A request without an answer may still arrive: not before we have asked again, and been told otherwise.
      for (const id of batch.epochs.keys()) this.takenOver.delete(id);
      throw error;
    }
    if (run.writes.length === 0 && next.size === 0) {
      this.settle(run);
      await this.defer(deferrals);
      return;
    }
    const outcome = await this.session.commit({
      touched,
      next: [...next.values()],
      writes: run.writes,
    });
    this.options.metrics.transaction(outcome, batch.records.length, performance.now() - started);
    if (outcome === 'aborted') {
      this.putBack(run, answers);
      return;
    }
    this.settle(run);
    run.report(this.options.metrics);
    this.start(run.calls);
    await this.afterCommit(run);
    await this.defer(deferrals);
  }

  /**
   * Rule 18. First the stores outside Kafka are told that these partitions are ours; then a transaction that changes
   * nothing asks the group, which takes it from its members only. Whoever told the stores and was refused has taken
   * nothing that it will use; who was accepted has had the partitions ever since they were assigned to it, and a former
   * owner reserves nothing any more.
   * @returns false: the group has forgotten us, and reading starts again
   */
  private async takeOver(batch: Batch): Promise<boolean> {
    const stages = this.options.stages.filter(
      ({ definition }) => definition.processor.takeOver !== undefined,
    );
    const epochs = new Map(
      [...batch.epochs].filter(([id, epoch]) => this.takenOver.get(id) !== epoch),
    );
    if (stages.length === 0 || epochs.size === 0) return true;
    const partitions = [...epochs.keys()].flatMap((id) => {
      const shard = this.shards.get(id);
      return shard === undefined ? [] : [{ topic: shard.topic, partition: shard.partition }];
    });
    for (const { definition, ports } of stages)
      await definition.processor.takeOver?.(partitions, ports);
    const outcome = await this.session.commit({ touched: epochs, next: [], writes: [] });
    if (outcome === 'aborted') return false;
    for (const [id, epoch] of epochs) this.takenOver.set(id, epoch);
    return true;
  }

  private newRun(): ChainRun {
    const { stages, changelogs, deadLetters, now, metrics, limits } = this.options;
    const { passPoint } = this.options.session;
    return new ChainRun({
      stages,
      changelogs,
      deadLetters,
      now,
      metrics,
      ...(limits && { limits }),
      ...(passPoint && {
        gathered: () => {
          passPoint('after-gather');
        },
      }),
    });
  }

  /** Rule 5: an abort drops what was staged; answers are decided again. */
  private putBack(run: ChainRun, answers: readonly Answered[]): void {
    for (const shard of this.shards.values()) for (const { staged } of shard.all()) staged.drop();
    for (const shard of run.touched) for (const { staged } of shard.all()) staged.drop();
    this.answers = [...answers, ...this.answers];
  }

  private settle(run: ChainRun): void {
    for (const shard of run.touched) for (const { staged } of shard.all()) staged.apply();
    for (const shard of [...this.fresh]) this.fresh.delete(shard);
  }

  private decode(
    records: readonly RawRecord[],
    run: ChainRun,
  ): {
    readonly inputs: { readonly input: Input; readonly shard: Shard }[];
    readonly next: ReadonlyMap<PartitionId, PartitionOffset>;
    readonly deferrals: readonly Deferral[];
  } {
    const inputs: { input: Input; shard: Shard }[] = [];
    const next = new Map<PartitionId, PartitionOffset>();
    const deferrals = new Map<PartitionId, Deferral>();
    const now = this.options.now();
    for (const raw of records) {
      const id = partitionId(raw.at);
      const shard = this.shards.get(id);
      if (shard === undefined || deferrals.has(id)) continue;
      const value = this.decodeOne(raw, run);
      const due = value === undefined ? null : dueAt(value);
      if (due !== null && due > now) {
        deferrals.set(id, { from: raw.at, untilMs: due });
        continue;
      }
      next.set(id, { topic: raw.at.topic, partition: raw.at.partition, offset: raw.at.offset + 1 });
      if (value !== undefined) inputs.push({ input: { raw, value }, shard });
    }
    return { inputs, next, deferrals: [...deferrals.values()] };
  }

  private decodeOne(raw: RawRecord, run: ChainRun): unknown {
    try {
      const empty = raw.value === null || raw.value.length === 0;
      if (empty && this.topics.get(raw.at.topic)?.tombstones === true) return null;
      if (raw.value === null || empty) throw new PipelineError('tombstone', 'the value is empty');
      return this.topics.get(raw.at.topic)?.codec.decode(raw.value);
    } catch (thrown) {
      if (!(thrown instanceof PipelineError) || thrown.verdict !== 'dead-letter') throw thrown;
      const stage = this.options.stages[0]?.name ?? this.name;
      run.writes.push(
        deadLetter(
          raw,
          this.options.deadLetters,
          stage,
          thrown.code,
          thrown.message,
          this.options.limits?.of(this.options.deadLetters),
        ),
      );
      this.options.metrics.deadLetters(stage, thrown.code);
      this.options.onEvent({ kind: 'dead_letter', record: raw, error: thrown });
      return undefined;
    }
  }

  private async defer(deferrals: readonly Deferral[]): Promise<void> {
    for (const { from, untilMs } of deferrals) await this.session.defer(from, untilMs);
  }

  // --- calls ----------------------------------------------------------------------------------------------------

  private start(calls: readonly ClaimedCall[]): void {
    for (const stage of new Set(calls.map((one) => one.stage))) {
      const claimed = calls.filter((one) => one.stage === stage);
      for (const { shard } of claimed) this.count(shard.id, 1);
      void this.perform(stage, claimed);
    }
  }

  private async perform(stage: ChainStage, claimed: readonly ClaimedCall[]): Promise<void> {
    const open = new Map(
      claimed.map(
        (one) =>
          [one.call, { claimed: one, epoch: this.session.epoch(one.shard.id) ?? -1 }] as const,
      ),
    );
    try {
      const answers = stage.definition.processor.perform?.([...open.keys()], stage.ports);
      if (answers === undefined) throw new PipelineError('defect', `${stage.name} makes no calls`);
      for await (const answer of answers) {
        const found = open.get(answer.call);
        if (found === undefined) continue;
        open.delete(answer.call);
        this.count(found.claimed.shard.id, -1);
        this.options.session.passPoint?.('after-call');
        this.answers.push({ ...found, answer });
        this.wakeUp();
      }
    } catch (thrown) {
      // Their claims stay open in the changelog: unknown to whoever restores them, never called again blindly.
      this.options.onEvent({ kind: 'after_commit_failed', error: asError(thrown) });
    } finally {
      for (const { claimed: one } of open.values()) this.count(one.shard.id, -1);
    }
  }

  private count(id: PartitionId, by: number): void {
    this.callsUnderWay += by;
    const left = (this.callsOf.get(id) ?? 0) + by;
    if (left === 0) this.callsOf.delete(id);
    else this.callsOf.set(id, left);
    this.options.metrics.inFlight(this.callsUnderWay);
  }

  private async afterCommit(run: ChainRun): Promise<void> {
    for (const [stage, decisions] of run.decisions) {
      const { committed, metrics } = stage.definition.processor;
      for (const [name, measure] of Object.entries(metrics ?? {})) {
        let sum = 0;
        for (const decision of decisions) sum += measure(decision);
        if (sum !== 0) this.options.metrics.custom(stage.name, name, sum);
      }
      try {
        await committed?.(decisions, stage.ports);
      } catch (thrown) {
        this.options.onEvent({ kind: 'after_commit_failed', error: asError(thrown) });
      }
    }
  }

  private armWake(): void {
    if (this.answers.length > 0) {
      this.wake = Promise.resolve();
      return;
    }
    this.wake = new Promise((resolve) => {
      this.wakeUp = resolve;
    });
  }
}

/** Records of retry topics say when they are due; their partition waits until then. */
const dueAt = (value: unknown): EpochMs | null =>
  typeof value === 'object' && value !== null && 'dueAt' in value && typeof value.dueAt === 'number'
    ? value.dueAt
    : null;
