import { PipelineError } from '../../schemas/error.js';
import { openDatabase } from '../../sinks/postgres/pool.js';
import type { Recovery } from '../../sinks/postgres/recovery.js';
import { postgresRecovery } from '../../sinks/postgres/recovery.js';
import type { Environment } from '../../topologies/config.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import type { ReentryRun } from '../../topologies/reenter.js';
import { groupOf } from '../../topologies/runtime/worker.js';
import { TakenOffsets } from '../../topologies/taken-offsets.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import { topicSchemas } from '../../topologies/topic-table.js';
import { ending, recorded, requiredReason, takenUp, withActions } from '../actions/recorded.js';
import type { Cli } from '../cli/cli.js';
import { NotNow } from '../cli/exit.js';
import { interruptible } from '../cli/interruption.js';
import { withAdmin } from '../cli/kafka-admin.js';
import { pass } from '../rebuild/pass.js';
import type { Span } from '../rebuild/spans.js';
import { sizeOf } from '../rebuild/spans.js';
import type { Bound } from './bounds.js';
import { resolveBounds } from './bounds.js';
import { Count } from './census.js';
import type { Census } from './census.js';
import { sum, type Figures } from './figures.js';
import { foresee } from './foresight.js';
import type { PublishedInstallation } from './installation.js';
import { tariffOf, withPublished } from './installation.js';
import { outcomeOf } from './outcome.js';
import type { Outcome } from './outcome.js';
import { waitingBar } from './progress.js';
import { PatientReentry } from './reentry.js';
import type { Select } from './selection.js';

/** Options of every recovery command. */
export interface RecoveryOptions {
  readonly apply?: true;
  readonly reason?: string;
  readonly rate?: number;
  /** A run to go on with. */
  readonly resume?: string;
  readonly json?: true;
}

/** What a command is about, made from what was typed, or from what was recorded when it was. */
export interface RecoveryPlan {
  /** Read from. */
  readonly topics: readonly TopicSpec[];
  readonly generation: ReentryRun['generation'];
  /** Once, with what is to be read, before anything is. */
  readonly begin?: (range: readonly Span[]) => Promise<void>;
  readonly select: Select;
  readonly close?: () => Promise<void>;
}

/** All that a plan may be made with. */
export interface Surroundings {
  readonly environment: Pick<Environment, 'kafka' | 'registry' | 'postgres'>;
  readonly installation: PublishedInstallation;
  readonly recovery: Recovery;
}

/** One command: `Asked` is what was typed, and survives being recorded as JSON. */
export interface RecoveryCommand<Asked> {
  readonly name: 'replay' | 'redrive';
  readonly asked: Asked;
  readonly since: Bound;
  readonly until: Bound | null;
  readonly plan: (asked: Asked, surroundings: Surroundings) => Promise<RecoveryPlan>;
}

export interface RecoveryReport {
  readonly command: string;
  readonly applied: boolean;
  /** null: nothing was recorded, as nothing was done. */
  readonly run: string | null;
  readonly finished: boolean;
  readonly range: readonly Span[];
  /** Of all parts of the run; `read` is the sum of the others. */
  readonly figures: Figures;
  readonly addsUp: boolean;
  readonly unanswered: string | null;
  /** Of what would go on; null where it was done. */
  readonly census: Census | null;
  /** null: nothing was written. */
  readonly outcome: Outcome | null;
  /** Of reading and writing, without waiting for what becomes of it. */
  readonly seconds: number;
}

interface Recorded<Asked> {
  readonly asked: Asked;
  readonly range: readonly Span[];
  readonly startedAt: number;
}

interface Progress {
  readonly left: readonly Span[];
  readonly figures: Figures;
  readonly seconds: number;
}

/** Records of one transaction. */
const AT_ONCE = 2_000;

/**
 * Reads a range and puts back what is chosen of it; without --apply it only counts.
 * @throws NotNow where there is nothing to read, or the run cannot be gone on with; UsageError without a reason
 */
export const runRecovery = async <Asked>(
  cli: Cli,
  options: RecoveryOptions,
  command: RecoveryCommand<Asked>,
): Promise<RecoveryReport> => {
  const environment = cli.environment(['kafka', 'registry', 'postgres']);
  const { kafka, postgres } = environment;
  const database = openDatabase({
    databaseUrl: postgres.url,
    schema: postgres.schema,
    maxConnections: 2,
  });
  const recovery = postgresRecovery(database, groupOf(kafka.prefix, 'attempts'));
  try {
    return await withAdmin(kafka, (admin) =>
      withPublished(environment, async (installation) => {
        const surroundings = { environment, installation, recovery };
        const working = { cli, options, admin, ...surroundings };
        const planned = async (asked: Asked): Promise<RecoveryPlan> => {
          const plan = await command.plan(asked, surroundings);
          await installation.codecs.open(topicSchemas(plan.topics));
          return plan;
        };
        const resolved = async ({ topics }: RecoveryPlan): Promise<readonly Span[]> => {
          const names = topics.map(({ name }) => name);
          const spans = await resolveBounds(admin, names, command.since, command.until);
          const range = spans.filter(({ from, to }) => from < to);
          if (sizeOf(range) === 0) throw new NotNow(`${names.join(', ')}: nothing in that range`);
          return range;
        };
        if (options.apply !== true) {
          const plan = await planned(command.asked);
          return await closing(plan, async () =>
            look(working, command, plan, await resolved(plan)),
          );
        }
        return await withActions(postgres, async (actions) => {
          const { resume: run } = options;
          if (run !== undefined) {
            const taken = await takenUp(actions, run, command.name);
            const what = taken.what as Recorded<Asked>;
            const before = taken.progress as Progress | null;
            const plan = await planned(what.asked);
            return closing(plan, () =>
              ending(actions, run, () =>
                act(
                  working,
                  command,
                  plan,
                  { run, reason: taken.reason, ...what, before },
                  (progress) => actions.progress(run, progress),
                ),
              ),
            );
          }
          const reason = requiredReason(options.reason);
          const startedAt = Date.now();
          const plan = await planned(command.asked);
          return closing(plan, async () => {
            const range = await resolved(plan);
            const what: Recorded<Asked> = { asked: command.asked, range, startedAt };
            const { outcome } = await recorded(
              actions,
              { command: command.name, reason, what },
              (run) => {
                if (cli.watched)
                  cli.note(`run ${run}; Ctrl-C stops it, --apply --resume ${run} goes on`);
                return act(
                  working,
                  command,
                  plan,
                  { run, reason, ...what, before: null },
                  (progress) => actions.progress(run, progress),
                );
              },
            );
            return outcome;
          });
        });
      }),
    );
  } finally {
    await database.close();
  }
};

const closing = async <T>(plan: RecoveryPlan, run: () => Promise<T>): Promise<T> => {
  try {
    return await run();
  } finally {
    await plan.close?.();
  }
};

interface Working extends Surroundings {
  readonly cli: Cli;
  readonly options: RecoveryOptions;
  readonly admin: Parameters<Parameters<typeof withAdmin>[1]>[0];
}

/** Whoever reads it adds it up again; that it does not would be a defect of ours. */
const addsUp = ({ read = 0, ...others }: Figures): boolean =>
  Object.values(others).reduce((all, count) => all + count, 0) === read;

/** A dry run. */
const look = async (
  { cli, options, environment, installation, recovery }: Working,
  { name }: { readonly name: string },
  plan: RecoveryPlan,
  range: readonly Span[],
): Promise<RecoveryReport> => {
  const started = Date.now();
  const settings = rdkafkaConnection(environment.kafka);
  const taken = new TakenOffsets({ client: settings, prefix: environment.kafka.prefix });
  const census = new Count(tariffOf(installation.config));
  let figures: Figures = {};
  let unanswered: string | null = null;
  await plan.begin?.(range);
  const finished = await interruptible((signal) =>
    pass({
      cli,
      settings,
      codecs: installation.codecs,
      topics: plan.topics,
      spans: range,
      signal,
      ...(options.rate !== undefined && { rate: options.rate }),
      handle: async (batch) => {
        const selection = await plan.select(batch);
        unanswered ??= selection.unanswered ?? null;
        const { returning } = selection;
        await taken.lookUp(returning.map(({ origin }) => origin));
        const there = returning.filter(({ origin }) => taken.has(origin));
        const { generation } = plan;
        const would = await foresee(there, generation, recovery, installation.config, census);
        const ahead = { ahead: returning.length - there.length };
        figures = [{ read: batch.length }, selection.stay, ahead, would].reduce(sum, figures);
      },
      onLeft: () => Promise.resolve(),
    }),
  );
  return {
    command: name,
    applied: false,
    run: null,
    finished,
    range,
    figures,
    addsUp: addsUp(figures),
    unanswered,
    census: census.sum,
    outcome: null,
    seconds: (Date.now() - started) / 1_000,
  };
};

interface Doing {
  readonly run: string;
  readonly reason: string;
  readonly range: readonly Span[];
  readonly startedAt: number;
  readonly before: Progress | null;
}

const act = async (
  { cli, options, admin, environment, installation, recovery }: Working,
  { name }: { readonly name: string },
  plan: RecoveryPlan,
  { run, reason, range, startedAt, before }: Doing,
  save: (progress: Progress) => Promise<void>,
): Promise<{
  readonly state: 'done' | 'failed' | 'interrupted';
  readonly outcome: RecoveryReport;
}> => {
  const { kafka } = environment;
  const { codecs, names } = installation;
  const settings = rdkafkaConnection(kafka);
  const reentry = new PatientReentry(
    { client: settings, prefix: kafka.prefix, codecs },
    { runId: run, startedAt, reason, generation: plan.generation },
  );
  const started = Date.now();
  const seconds = (): number => (before?.seconds ?? 0) + (Date.now() - started) / 1_000;
  let figures = before?.figures ?? {};
  let unanswered: string | null = null;
  let took = before?.seconds ?? 0;
  await plan.begin?.(range);
  const { finished, outcome } = await interruptible(async (signal) => {
    const complete = await pass({
      cli,
      settings,
      codecs,
      topics: plan.topics,
      spans: before?.left ?? range,
      signal,
      atOnce: AT_ONCE,
      ...(options.rate !== undefined && { rate: options.rate }),
      handle: async (batch) => {
        const selection = await plan.select(batch);
        unanswered ??= selection.unanswered ?? null;
        const { written, ahead } = await reentry.reenter(selection.returning);
        const read = { read: batch.length };
        figures = [read, selection.stay, { written, ahead }].reduce(sum, figures);
      },
      onLeft: (left) => save({ left, figures, seconds: seconds() }),
    }).finally(() => reentry.close());
    took = seconds();
    if (!complete) return { finished: false, outcome: null };
    const { written = 0 } = figures;
    const bar = waitingBar(cli, written);
    const counted = await outcomeOf({
      admin,
      kafka,
      names,
      recovery,
      runId: run,
      startedAt,
      written,
      signal,
      onWaiting: bar.update,
    }).finally(bar.stop);
    return { finished: counted.lookedAt, outcome: counted };
  });
  const report: RecoveryReport = {
    command: name,
    applied: true,
    run,
    finished,
    range,
    figures,
    addsUp: addsUp(figures),
    unanswered,
    census: null,
    outcome,
    seconds: took,
  };
  if (!report.addsUp)
    throw new PipelineError(
      'defect',
      `the figures of run ${run} do not add up: ${JSON.stringify(figures)}`,
    );
  return { state: finished ? 'done' : 'interrupted', outcome: report };
};
