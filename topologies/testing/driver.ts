import { asError, PipelineError } from '../../schemas/error.js';
import type { Topic, TopicFamily } from '../../schemas/record.js';
import { ChainRun, type ChainStage, type ClaimedCall, Shard } from '../runtime/chain.js';
import { changelogsOf, chainStages, inputTopics } from '../runtime/chain-stages.js';
import { deadLetter } from '../runtime/dead-letters.js';
import {
  type RawRecord,
  type TopicPartition,
  type Write,
  partitionId,
} from '../runtime/raw-record.js';
import { restoreShards } from '../runtime/restore.js';
import { type AnyAnswer, type AnyStage, type Topology, topicsOf } from '../topology.js';
import { TopicLimits } from '../runtime/topic-limits.js';
import { ManualClock } from './clock.js';
import { MemoryLog } from './memory-log.js';

export interface DriverOptions<Ports> {
  readonly ports: Ports;
  readonly clock?: ManualClock;
  readonly partitions?: number;
  readonly maxBatch?: number;
  readonly deadLetters?: string;
  /** What topics take; default: anything. */
  readonly limits?: TopicLimits;
  /** Fetches the writer schemas that these values need; default: none is needed. */
  readonly prepare?: (values: readonly (Buffer | null)[]) => Promise<void>;
}

export interface Produced<V> {
  readonly key?: string | null;
  readonly value: V;
  readonly partition?: number;
  readonly headers?: Readonly<Record<string, Buffer>>;
}

/**
 * Runs topologies without a broker: the same stages, chains, state and transactions, a log in memory, and a clock
 * that moves by hand. Modelled on Kafka Streams' TopologyTestDriver.
 */
export class TestDriver<Ports extends object> {
  readonly clock: ManualClock;
  readonly log: MemoryLog;
  readonly deadLetters: string;
  private readonly tasks: readonly MemoryTask[];

  constructor(topologies: readonly Topology<Ports>[], options: DriverOptions<Ports>) {
    this.clock = options.clock ?? new ManualClock();
    this.log = new MemoryLog(options.partitions ?? 2);
    this.deadLetters = options.deadLetters ?? 'dead-letters';
    this.tasks = topologies.flatMap(({ name, tasks }) =>
      tasks.map(
        (stages, index) =>
          new MemoryTask(`${name}/${index.toString()}`, stages, options.ports, {
            log: this.log,
            clock: this.clock,
            deadLetters: this.deadLetters,
            maxBatch: options.maxBatch ?? 100,
            limits: options.limits ?? new TopicLimits(new Map()),
            prepare: options.prepare ?? (() => Promise.resolve()),
          }),
      ),
    );
  }

  /** Writes values to a topic, then lets everything run until nothing moves. */
  async pipe<V>(topic: Topic<V> | TopicFamily<V>, values: readonly Produced<V>[]): Promise<void> {
    for (const { key, value, partition, headers } of values) {
      const one = 'all' in topic ? topic.pick(value) : topic;
      this.write({
        topic: one.name,
        partition: partition ?? null,
        key: key === undefined || key === null ? null : Buffer.from(key),
        value: one.codec.encode(value),
        ...(headers && { headers }),
      });
    }
    await this.settle();
  }

  /** Writes bytes as they are; `settle` lets the stages see them. */
  write(write: Write): void {
    this.log.append([write], this.clock.now());
  }

  /** What lies on a topic or family, decoded, in order within each partition. */
  read<V>(topic: Topic<V> | TopicFamily<V>): V[] {
    return this.records(topic).map(({ value }) => value);
  }

  records<V>(topic: Topic<V> | TopicFamily<V>): { readonly raw: RawRecord; readonly value: V }[] {
    return topicsOf(topic as Topic<unknown>).flatMap(({ name, codec }) =>
      this.log
        .all(name)
        .flatMap((raw) =>
          raw.value === null ? [] : [{ raw, value: codec.decode(raw.value) as V }],
        ),
    );
  }

  /** Moves the clock, runs timers, and lets everything run until nothing moves. */
  async advance(milliseconds: number): Promise<void> {
    this.clock.advance(milliseconds);
    for (const task of this.tasks) await task.tick();
    await this.settle();
  }

  async settle(): Promise<void> {
    for (let rounds = 0; ; rounds++) {
      let moved = false;
      for (const task of this.tasks) moved = (await task.step()) || moved;
      if (!moved) return;
      if (rounds > 10_000) throw new Error('the topology never comes to rest');
    }
  }

  /** The next transaction of each task is aborted after everything was decided: the batch is read again. */
  abortNext(): void {
    for (const task of this.tasks) task.aborting = true;
  }

  /** Calls that are claimed are never made: the process dies between claim and call. */
  dieBeforeCalls(): void {
    for (const task of this.tasks) task.calling = false;
  }

  /** Memory is gone; state comes back from the changelogs, as after a crash. */
  async restart(): Promise<void> {
    for (const task of this.tasks) await task.restore();
    await this.settle();
  }
}

interface World {
  readonly log: MemoryLog;
  readonly clock: ManualClock;
  readonly deadLetters: string;
  readonly maxBatch: number;
  readonly limits: TopicLimits;
  readonly prepare: (values: readonly (Buffer | null)[]) => Promise<void>;
}

class MemoryTask {
  aborting = false;
  calling = true;
  private readonly stages: readonly ChainStage[];
  private readonly changelogs: ReadonlyMap<string, Topic<unknown>>;
  private readonly inputs: ReadonlyMap<string, Topic<unknown>>;
  private readonly positions = new Map<string, number>();
  private shards = new Map<string, Shard>();
  private readonly fresh = new Set<Shard>();
  private answers: { readonly claimed: ClaimedCall; readonly answer: AnyAnswer }[] = [];
  private readonly name: string;
  private readonly world: World;

  constructor(name: string, stages: readonly AnyStage[], ports: object, world: World) {
    this.name = name;
    this.world = world;
    this.stages = chainStages(stages, ports, (topic) => tableOver(world.log, topic));
    this.changelogs = changelogsOf(stages);
    this.inputs = inputTopics(stages);
    this.begin();
  }

  /** Nothing is remembered. */
  private begin(): void {
    this.calling = true;
    this.answers = [];
    this.shards = new Map();
    this.fresh.clear();
    for (const { topic, partition } of this.sources()) {
      const shard = new Shard(topic, partition, this.stages);
      this.shards.set(shard.id, shard);
      this.fresh.add(shard);
    }
  }

  async restore(): Promise<void> {
    this.begin();
    await restoreShards([...this.shards.values()], {
      changelogs: this.changelogs,
      read: ({ topic, partition }, visit) => {
        for (const record of this.world.log.records(topic, partition)) visit(record);
        return Promise.resolve();
      },
      prepare: this.world.prepare,
      now: this.world.clock.now(),
    });
  }

  async tick(): Promise<void> {
    await this.transact([], (run) => {
      for (const shard of this.shards.values()) run.wake(shard, 'tick');
    });
  }

  /** One transaction; false where there was nothing to do. */
  async step(): Promise<boolean> {
    const batch = await this.take();
    if (batch.length === 0 && this.answers.length === 0 && this.fresh.size === 0) return false;
    return this.transact(batch, () => undefined);
  }

  private *sources(): Generator<TopicPartition> {
    for (const topic of this.inputs.keys()) {
      for (let partition = 0; partition < this.world.log.partitionCount; partition++)
        yield { topic, partition };
    }
  }

  private async take(): Promise<
    {
      readonly raw: RawRecord;
      readonly value: unknown;
      readonly error: PipelineError | null;
    }[]
  > {
    const batch: { raw: RawRecord; value: unknown; error: PipelineError | null }[] = [];
    for (const source of this.sources()) {
      const records = this.world.log.records(source.topic, source.partition);
      const from = this.positions.get(partitionId(source)) ?? 0;
      const fetched = records.slice(from, from + this.world.maxBatch - batch.length);
      await this.world.prepare(fetched.map(({ value }) => value));
      for (const raw of fetched) {
        const { value, error } = this.decode(raw);
        if (isLater(value, this.world.clock.now())) break;
        batch.push({ raw, value, error });
      }
    }
    return batch;
  }

  private decode(raw: RawRecord): {
    readonly value: unknown;
    readonly error: PipelineError | null;
  } {
    try {
      const empty = raw.value === null || raw.value.length === 0;
      if (empty && this.inputs.get(raw.at.topic)?.tombstones === true)
        return { value: null, error: null };
      if (raw.value === null || empty) throw new PipelineError('tombstone', 'the value is empty');
      return { value: this.inputs.get(raw.at.topic)?.codec.decode(raw.value), error: null };
    } catch (thrown) {
      if (thrown instanceof PipelineError && thrown.verdict === 'dead-letter')
        return { value: undefined, error: thrown };
      throw asError(thrown);
    }
  }

  private async transact(
    batch: readonly {
      readonly raw: RawRecord;
      readonly value: unknown;
      readonly error: PipelineError | null;
    }[],
    also: (run: ChainRun) => void,
  ): Promise<boolean> {
    const run = new ChainRun({
      stages: this.stages,
      changelogs: this.changelogs,
      deadLetters: this.world.deadLetters,
      now: this.world.clock.now,
      metrics: SILENT,
      limits: this.world.limits,
    });
    const { answers } = this;
    this.answers = [];
    for (const shard of this.fresh) run.wake(shard, 'restored');
    const inputs: Parameters<ChainRun['run']>[0][number][] = [];
    for (const { raw, value, error } of batch) {
      const shard = this.shards.get(partitionId(raw.at));
      if (shard === undefined)
        throw new PipelineError('defect', `${this.name} does not own ${partitionId(raw.at)}`);
      if (error === null) inputs.push({ input: { raw, value }, shard });
      else
        run.writes.push(
          deadLetter(
            raw,
            this.world.deadLetters,
            this.stages[0]?.name ?? '',
            error.code,
            error.message,
          ),
        );
    }
    const putBack = (): void => {
      for (const shard of run.touched) for (const { staged } of shard.all()) staged.drop();
      this.answers = answers;
    };
    try {
      await run.run(inputs);
      for (const { claimed, answer } of answers) run.answer(claimed.stage, claimed.shard, answer);
      also(run);
      run.finish();
    } catch (error) {
      putBack();
      throw error;
    }
    if (this.aborting) {
      this.aborting = false;
      putBack();
      return true;
    }
    this.world.log.append(run.writes, this.world.clock.now());
    for (const { raw } of batch) this.positions.set(partitionId(raw.at), raw.at.offset + 1);
    for (const shard of run.touched) for (const { staged } of shard.all()) staged.apply();
    this.fresh.clear();
    if (this.calling) await this.call(run.calls);
    for (const [stage, decisions] of run.decisions) {
      await stage.definition.processor.committed?.(decisions, stage.ports);
    }
    return batch.length > 0 || run.writes.length > 0 || run.calls.length > 0;
  }

  private async call(calls: readonly ClaimedCall[]): Promise<void> {
    for (const stage of new Set(calls.map((one) => one.stage))) {
      const open = new Map(
        calls.filter((one) => one.stage === stage).map((one) => [one.call, one]),
      );
      for await (const answer of stage.definition.processor.perform?.(
        [...open.keys()],
        stage.ports,
      ) ?? []) {
        const claimed = open.get(answer.call);
        if (claimed !== undefined) this.answers.push({ claimed, answer });
      }
    }
  }
}

const isLater = (value: unknown, now: number): boolean =>
  typeof value === 'object' &&
  value !== null &&
  'dueAt' in value &&
  typeof value.dueAt === 'number' &&
  value.dueAt > now;

/** A compacted topic as a table: always current, each record applied once. */
const tableOver = (log: MemoryLog, topic: Topic<unknown>) => {
  const table = new Map<string, unknown>();
  const applied = new Map<number, number>();
  const current = (): Map<string, unknown> => {
    for (let partition = 0; partition < log.partitionCount; partition++) {
      const records = log.records(topic.name, partition);
      for (const raw of records.slice(applied.get(partition) ?? 0)) {
        const key = raw.key?.toString() ?? '';
        if (raw.value === null) table.delete(key);
        else table.set(key, topic.codec.decode(raw.value));
      }
      applied.set(partition, records.length);
    }
    return table;
  };
  return { get: (key: string) => current().get(key), entries: () => current().entries() };
};

const SILENT = {
  recordsIn: () => undefined,
  recordsOut: () => undefined,
  deadLetters: () => undefined,
  custom: () => undefined,
};
