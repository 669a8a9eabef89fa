import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import type { TaskMetrics } from './task.js';

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
const AGES = [0.01, 0.05, 0.1, 0.5, 1, 5, 30, 120, 600, 3_600, 21_600, 86_400];
const SIZES = [1, 5, 10, 50, 100, 500, 1_000, 2_000, 5_000];

/** Prometheus metrics of one worker. No metric carries a message id, a user or an address. */
export class WorkerMetrics {
  readonly registry = new Registry();
  private readonly recordsIn = this.counter('millrace_records_in_total', 'Records a stage took.', [
    'task',
    'stage',
  ]);
  private readonly recordsOut = this.counter(
    'millrace_records_out_total',
    'Records a stage wrote.',
    ['task', 'stage', 'to'],
  );
  private readonly deadLetters = this.counter('millrace_dead_letters_total', 'Records buried.', [
    'task',
    'stage',
    'code',
  ]);
  private readonly events = this.counter('millrace_stage_events_total', 'Counters of the stages.', [
    'task',
    'stage',
    'event',
  ]);
  private readonly transactions = this.counter(
    'millrace_transactions_total',
    'Transactions by outcome.',
    ['task', 'outcome'],
  );
  private readonly transactionSeconds = this.histogram(
    'millrace_transaction_seconds',
    'From batch taken to commit known.',
    SECONDS,
  );
  private readonly batchSize = this.histogram(
    'millrace_batch_records',
    'Records a transaction took.',
    SIZES,
  );
  private readonly queueAge = this.histogram(
    'millrace_queue_age_seconds',
    'Age of records when taken.',
    AGES,
  );
  private readonly inFlight = new Gauge({
    name: 'millrace_calls_in_flight',
    help: 'Provider calls under way.',
    labelNames: ['task'] as const,
    registers: [this.registry],
  });
  private readonly sunk = this.counter('millrace_sink_records_total', 'Records a sink stored.', [
    'sink',
  ]);
  private readonly sinkSeconds = new Histogram({
    name: 'millrace_sink_seconds',
    help: 'Time of one write to a sink.',
    labelNames: ['sink'] as const,
    buckets: SECONDS,
    registers: [this.registry],
  });
  private readonly choreSeconds = new Histogram({
    name: 'millrace_chore_seconds',
    help: 'Time of one chore, by outcome.',
    labelNames: ['chore', 'outcome'] as const,
    buckets: SECONDS,
    registers: [this.registry],
  });
  /** As the worker that does the chores saw it last; the others have no such series. */
  readonly recharges = new Gauge({
    name: 'millrace_recharges',
    help: 'Recharges that wait for the reviewer or a person (overdue: too long), and rules that hold and may not recharge: held back by why.',
    labelNames: ['state'] as const,
    registers: [this.registry],
  });
  private readonly breaks = new Gauge({
    name: 'millrace_reconciliation_breaks',
    help: 'Breaks that the last daily reconciliation found, by class; on the worker that did it.',
    labelNames: ['class'] as const,
    registers: [this.registry],
  });
  private readonly firstTaken = new Gauge({
    name: 'millrace_first_record_timestamp_seconds',
    help: 'When a task took its first record: seconds since the epoch.',
    labelNames: ['task'] as const,
    registers: [this.registry],
  });
  /** Of quotas in their period; over 1: past the plain limit. Only the worker that does the chores has it. */
  readonly quotaUse = new Gauge({
    name: 'millrace_quota_used_ratio',
    help: 'What is used and held of a quota, divided by its plain limit. Over 1: only its stretch is left.',
    labelNames: ['tenant', 'line', 'channel', 'period', 'budget'] as const,
    registers: [this.registry],
  });
  readonly undeduped = this.counter(
    'millrace_undeduped_records_total',
    'Records that passed dedupe while Redis was away: deduped by messageId alone.',
    [],
  );
  readonly expired = this.counter(
    'millrace_expired_reservations_total',
    'Messages that expired with money pending and were never sent: it was given back. Each was lost somewhere.',
    [],
  );
  readonly callbacks = this.counter('millrace_callbacks_total', 'Provider callbacks by result.', [
    'provider',
    'result',
  ]);

  constructor() {
    collectDefaultMetrics({ register: this.registry, prefix: 'millrace_' });
  }

  ofTask(task: string): TaskMetrics {
    const batch = this.batchSize.labels(task);
    const seconds = this.transactionSeconds.labels(task);
    const age = this.queueAge.labels(task);
    const inFlight = this.inFlight.labels(task);
    let taken = false;
    return {
      recordsIn: (stage, count) => {
        if (!taken) this.firstTaken.labels(task).set(Date.now() / 1_000);
        taken = true;
        this.recordsIn.labels(task, stage).inc(count);
      },
      recordsOut: (stage, to, count) => {
        this.recordsOut.labels(task, stage, to).inc(count);
      },
      deadLetters: (stage, code) => {
        this.deadLetters.labels(task, stage, code).inc();
      },
      custom: (stage, name, count) => {
        this.events.labels(task, stage, name).inc(count);
      },
      transaction: (outcome, records, milliseconds) => {
        this.transactions.labels(task, outcome).inc();
        seconds.observe(milliseconds / 1_000);
        if (records > 0) batch.observe(records);
      },
      queueAge: (milliseconds) => {
        age.observe(milliseconds / 1_000);
      },
      inFlight: (calls) => {
        inFlight.set(calls);
      },
    };
  }

  ofSink(sink: string): { readonly written: (records: number, milliseconds: number) => void } {
    return {
      written: (records, milliseconds) => {
        this.sunk.labels(sink).inc(records);
        this.sinkSeconds.labels(sink).observe(milliseconds / 1_000);
      },
    };
  }

  /** A chore's end. */
  chore(chore: string, outcome: 'done' | 'failed', milliseconds: number): void {
    this.choreSeconds.labels(chore, outcome).observe(milliseconds / 1_000);
  }

  /** What the last daily reconciliation found. */
  reconciled(breaks: Readonly<Record<string, number>>): void {
    for (const [name, count] of Object.entries(breaks)) this.breaks.labels(name).set(count);
  }

  /** Which release this is: while one is rolled out, workers of two run side by side. */
  release(version: string): void {
    new Gauge({
      name: 'millrace_release_info',
      help: 'Always 1; the label says which release this worker is.',
      labelNames: ['release'] as const,
      registers: [this.registry],
    })
      .labels(version)
      .set(1);
  }

  /** Lag to the stable offset, read when scraped. */
  lag(
    read: () => readonly {
      readonly task: string;
      readonly topic: string;
      readonly partition: number;
      readonly lag: number;
    }[],
  ): void {
    new Gauge({
      name: 'millrace_lag_records',
      help: 'Records between position and last stable offset.',
      labelNames: ['task', 'topic', 'partition'] as const,
      registers: [this.registry],
      collect() {
        this.reset();
        for (const { task, topic, partition, lag } of read())
          this.labels(task, topic, partition.toString()).set(lag);
      },
    });
  }

  /** Time without a dependency, read when scraped. */
  absences(
    read: () => readonly {
      readonly dependency: string;
      readonly state: string;
      readonly seconds: number;
    }[],
  ): void {
    new Counter({
      name: 'millrace_dependency_missing_seconds_total',
      help: 'Time spent without a dependency: waiting for it, or degraded (gone on without it).',
      labelNames: ['dependency', 'state'] as const,
      registers: [this.registry],
      collect() {
        this.reset();
        for (const { dependency, state, seconds } of read())
          this.labels(dependency, state).inc(seconds);
      },
    });
  }

  private counter<const L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
  ): Counter<L> {
    return new Counter({ name, help, labelNames: [...labelNames], registers: [this.registry] });
  }

  private histogram(name: string, help: string, buckets: number[]): Histogram<'task'> {
    return new Histogram({ name, help, labelNames: ['task'], buckets, registers: [this.registry] });
  }
}
