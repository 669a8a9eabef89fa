import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Codecs } from '../../schemas/topic-codecs.js';
import { PipelineError, asError } from '../../schemas/error.js';
import type { Topic } from '../../schemas/record.js';
import { type AnyStage, type Topology, topicsOf } from '../topology.js';
import { changelogsOf, chainStages } from './chain-stages.js';
import type { ChangelogReader } from './changelog-reader.js';
import type { PassPoint } from './crash-points.js';
import { GlobalTables, type LiveTable } from './global-tables.js';
import type { Health } from './health.js';
import { Interrupted, abortable } from './abortable.js';
import type { Logger } from './log.js';
import type { WorkerMetrics } from './metrics.js';
import type { ClientSettings } from './rdkafka-client.js';
import { type Sink, type SinkEvent, SinkTask } from './sink-task.js';
import { Task, type TaskEvent } from './task.js';
import type { TopicLimits } from './topic-limits.js';
import { DEFAULT_TIMING, type GroupProtocol, type SessionEvent } from './transaction-session.js';

/** Groups and transactional ids begin with this; the plan (which stages are chained) is part of it. */
const APPLICATION = 'millrace';
/**
 * Above what a task's own steps may take (time-outs in transaction-session.ts), below the 30 s after which a supervisor
 * kills. A native call that never answers must not keep alive a worker that was told to stop.
 */
const STOP_WITHIN_MS = 20_000;

export interface WorkerOptions {
  readonly client: ClientSettings;
  readonly prefix: string;
  readonly groupProtocol: GroupProtocol;
  /** This worker's place in its sub-topologies (rule 10). */
  readonly slot: number;
  /** What a task calls as it passes a crash point; for fault tests. */
  readonly passPoint?: (task: string) => PassPoint | undefined;
  readonly deadLetters: string;
  readonly limits?: TopicLimits;
  readonly codecs: Codecs;
  readonly health: Health;
  readonly metrics: WorkerMetrics;
  readonly log: Logger;
  readonly partitionsOf: (topic: string) => number;
  readonly reader: ChangelogReader;
  /** How long its tasks may take to leave once they were told to; default 20 s. */
  readonly stopWithinMs?: number;
}

export interface TaskSettings {
  readonly maxBatch: number;
  readonly maxInFlight: number;
  readonly lingerMs?: number;
  readonly rest?: number;
  readonly pace?: number;
  /** How long the broker may hold a question for records that it has none of; default 500. */
  readonly fetchWaitMs?: number;
}

type Running = Task | SinkTask<never>;

/** Group of a task: one per sub-topology and lane, so that lanes never wait for one another. */
export const groupOf = (prefix: string, task: string): string => `${prefix}${APPLICATION}.${task}`;
export const transactionalIdOf = (prefix: string, task: string, slot: number): string =>
  `${groupOf(prefix, task)}.${slot.toString()}`;

/** Tasks and sinks of one process: starts them together, stops them together, and fails when one must stop. */
export class Worker {
  private readonly running: Running[] = [];
  private readonly reader: ChangelogReader;
  /** Sinks whose absence only degrades. */
  private readonly derived = new Set<string>();
  private readonly tableTopics = new Map<string, Topic<unknown>>();
  private tables: GlobalTables | null = null;
  private readonly stopping = new AbortController();
  private readonly pending: (() => Running)[] = [];
  private readonly options: WorkerOptions;

  constructor(options: WorkerOptions) {
    this.options = options;
    this.reader = options.reader;
  }

  /** Ids that this worker's transactions will have; each must be held by one worker only. */
  readonly transactionalIds: string[] = [];

  add<Ports extends object>(topology: Topology<Ports>, ports: Ports, settings: TaskSettings): this {
    for (const [index, stages] of topology.tasks.entries()) {
      const name = index === 0 ? topology.name : `${topology.name}.${index.toString()}`;
      for (const topic of stages.flatMap((stage) =>
        Object.values(stage.wire.tables ?? {}).flatMap(topicsOf),
      )) {
        this.tableTopics.set(topic.name, topic);
      }
      this.transactionalIds.push(transactionalIdOf(this.options.prefix, name, this.options.slot));
      this.pending.push(() => this.task(name, stages, ports, settings));
    }
    return this;
  }

  sink<V>(sink: Sink<V>, settings: { readonly maxBatch: number; readonly lingerMs: number }): this {
    const { prefix, client, groupProtocol, codecs, metrics } = this.options;
    if (sink.derived === true) this.derived.add(sink.name);
    this.pending.push(
      () =>
        new SinkTask(sink, {
          client,
          groupId: groupOf(prefix, sink.name),
          groupProtocol,
          timing: DEFAULT_TIMING,
          ...settings,
          passPoint: this.options.passPoint?.(sink.name),
          prepare: codecs.prepare,
          metrics: metrics.ofSink(sink.name),
          onEvent: (event) => {
            this.note(sink.name, event);
          },
        }) as unknown as SinkTask<never>,
    );
    return this;
  }

  /** Follow a table although no stage of this worker reads it. */
  table(topic: Topic<unknown>): this {
    this.tableTopics.set(topic.name, topic);
    return this;
  }

  /** A followed table, once it was read to its end; undefined: not yet. */
  followed<V>(topic: Topic<V>): LiveTable<V> | undefined {
    const table = this.tables?.table(topic.name);
    return table === undefined || table.readAt === 0 ? undefined : (table as LiveTable<V>);
  }

  /**
   * Restores, runs, and resolves once `stop` has been asked and everything has left its group.
   * @throws PipelineError with verdict stop: the first task that must stop takes the others with it; or, after
   * `stopWithinMs`, one that names the tasks that did not leave. The process must end then: the broker aborts what they
   * have open, and their successors take over as after a crash.
   */
  async run(): Promise<void> {
    const { client, prefix, partitionsOf, codecs, health, log } = this.options;
    this.tables = new GlobalTables([...this.tableTopics.values()], {
      client,
      groupId: groupOf(prefix, 'tables'),
      reader: this.reader,
      partitionsOf,
      prepare: codecs.prepare,
      onWaiting: (error, pauseMs) => {
        this.note('tables', { kind: 'waiting', error, pauseMs });
      },
      onError: (error) => {
        log.warn({ err: error }, 'global tables: reading failed, trying again');
      },
    });
    try {
      await abortable(this.tables.open(), this.stopping.signal);
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error;
      await this.tables.close();
      return;
    }
    this.recovered('tables');
    this.running.push(...this.pending.map((make) => make()));
    this.options.metrics.lag(() => this.lags());
    health.ready();
    log.info({ tasks: this.running.map(({ name }) => name) }, 'running');
    const failures: unknown[] = [];
    const open = new Set(this.running);
    // All of them, also where one fails: the others finish and leave their groups before anything is closed under them.
    const all = Promise.all(
      this.running.map(async (task) => {
        await task.run().catch((thrown: unknown) => {
          failures.push(thrown);
          this.stop();
        });
        open.delete(task);
      }),
    );
    await Promise.race([all, this.overdue()]);
    const late = [...open].map(({ name }) => name);
    if (late.length === 0) await this.tables.close();
    else log.error({ tasks: late }, 'did not leave in time');
    if (failures.length > 0) throw failures[0];
    if (late.length > 0)
      throw new PipelineError(
        'defect',
        `stopped at once: ${late.join(', ')} did not leave within ${this.stopWithinMs / 1_000} s; what they had open is aborted by the brokers and done again by others`,
      );
  }

  private get stopWithinMs(): number {
    return this.options.stopWithinMs ?? STOP_WITHIN_MS;
  }

  /** Resolves so long after `stop` was asked; never, where it was not. */
  private async overdue(): Promise<void> {
    const { signal } = this.stopping;
    if (!signal.aborted) await once(signal, 'abort');
    await sleep(this.stopWithinMs, undefined, { ref: false });
  }

  stop(): void {
    this.stopping.abort();
    for (const task of this.running) task.stop();
  }

  lags(): { task: string; topic: string; partition: number; lag: number }[] {
    return this.running.flatMap((task) =>
      task.partitions.flatMap(({ topic, partition }) => {
        const lag = task.lag({ topic, partition });
        return lag === null ? [] : [{ task: task.name, topic, partition, lag }];
      }),
    );
  }

  private task(
    name: string,
    stages: readonly AnyStage[],
    ports: object,
    settings: TaskSettings,
  ): Task {
    const { prefix, client, groupProtocol, slot, codecs, metrics, deadLetters, limits } =
      this.options;
    const { tables } = this;
    if (tables === null) throw new PipelineError('defect', 'tables are opened first');
    return new Task({
      name,
      stages: chainStages(stages, ports, (topic) => tables.table(topic.name)),
      changelogs: changelogsOf(stages),
      deadLetters,
      ...(limits && { limits }),
      reader: this.reader,
      prepare: codecs.prepare,
      now: Date.now,
      metrics: metrics.ofTask(name),
      ...settings,
      session: {
        client,
        ...(settings.fetchWaitMs !== undefined && { fetchWaitMs: settings.fetchWaitMs }),
        groupId: groupOf(prefix, name),
        transactionalId: transactionalIdOf(prefix, name, slot),
        groupProtocol,
        timing: DEFAULT_TIMING,
        passPoint: this.options.passPoint?.(name),
      },
      onEvent: (event) => {
        this.note(name, event);
      },
    });
  }

  /** Nothing is missing for this task any more. */
  private recovered(task: string): void {
    const { health } = this.options;
    for (const [dependency, { detail }] of Object.entries(health.report.missing))
      if (detail.startsWith(`${task}:`)) health.recovered(dependency);
  }

  private note(task: string, event: SessionEvent | TaskEvent | SinkEvent): void {
    const { log, health } = this.options;
    switch (event.kind) {
      case 'assigned':
      case 'revoked':
        log.info(
          {
            task,
            partitions: event.partitions.map(({ topic, partition }) => `${topic}/${partition}`),
          },
          event.kind,
        );
        return;
      case 'waiting':
        if (this.derived.has(task))
          health.degraded(dependencyOf(event.error), `${task}: ${event.error.message}`);
        else health.waiting(dependencyOf(event.error), `${task}: ${event.error.message}`);
        log.warn({ task, err: event.error, pauseMs: event.pauseMs }, 'waiting for a dependency');
        return;
      case 'recovered':
        this.recovered(task);
        log.info({ task }, 'recovered');
        return;
      case 'dead_letter':
      case 'unreadable':
        log.warn({ task, at: event.record.at, err: event.error }, event.kind);
        return;
      case 'lost':
        log.warn({ task, partitions: event.partitions }, 'another owner moved these offsets');
        return;
      case 'aborted':
      case 'unclear':
      case 'producer_renewed':
      case 'consume_failed':
      case 'after_commit_failed':
      case 'interrupted':
        log.warn({ task, err: asError(event.error) }, event.kind);
    }
  }
}

/** postgres_unavailable -> postgres. */
const dependencyOf = ({ code }: PipelineError): string =>
  code.replace(/_(unavailable|refused)$/, '');
