import type { Codecs } from '../../schemas/topic-codecs.js';
import type { Environment } from '../../topologies/config.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import { ending, recorded, requiredReason, takenUp, withActions } from '../actions/recorded.js';
import type { Cli } from '../cli/cli.js';
import { NotNow, UsageError } from '../cli/exit.js';
import { interruptible } from '../cli/interruption.js';
import type { Decoded } from '../read/decoded.js';
import { sum } from '../replay/figures.js';
import type { Figures } from '../replay/figures.js';
import { pass } from './pass.js';
import type { Span } from './spans.js';
import { sizeOf } from './spans.js';

/** Options of every rebuild. */
export interface RebuildOptions {
  readonly apply?: true;
  readonly reason?: string;
  /** A run to go on with. */
  readonly resume?: string;
  readonly rate?: number;
  readonly dir: string;
  readonly json?: true;
}

export interface Rebuild {
  readonly command: string;
  readonly topics: readonly TopicSpec[];
  readonly codecs: Codecs;
  /** Resolves what is to be read, once. */
  readonly plan: () => Promise<readonly Span[]>;
  /** Said where there is nothing. */
  readonly nothing: string;
  readonly handle: (batch: readonly Decoded[], write: boolean) => Promise<Figures>;
  /** After writing: what is not as it should be; empty: all is. */
  readonly check: (part: Figures) => Promise<readonly string[]>;
}

export interface RebuildReport {
  readonly applied: boolean;
  /** null: nothing was recorded, as nothing was done. */
  readonly run: string | null;
  readonly finished: boolean;
  readonly range: readonly Span[];
  /** Of all parts of the run. */
  readonly figures: Figures;
  readonly problems: readonly string[];
  readonly seconds: number;
}

/** What is kept of a run under way. */
interface Progress {
  readonly left: readonly Span[];
  readonly figures: Figures;
}

/**
 * Compares a store with the topics, and with --apply writes what it lacks.
 * @throws NotNow where there is nothing to read, or the run cannot be gone on with; UsageError without a reason
 */
export const runRebuild = async (
  cli: Cli,
  { kafka, postgres }: Pick<Environment, 'kafka' | 'postgres'>,
  options: RebuildOptions,
  rebuild: Rebuild,
): Promise<RebuildReport> => {
  const started = Date.now();
  const write = options.apply === true;
  const settings = rdkafkaConnection(kafka);
  const { topics, codecs, handle } = rebuild;

  const part = async (
    before: Progress,
    onProgress: (progress: Progress) => Promise<void>,
  ): Promise<Omit<RebuildReport, 'applied' | 'run' | 'range' | 'seconds'>> => {
    let figures: Figures = {};
    const finished = await interruptible((signal) =>
      pass({
        cli,
        settings,
        codecs,
        topics,
        spans: before.left,
        signal,
        ...(options.rate !== undefined && { rate: options.rate }),
        handle: async (batch) => {
          figures = sum(figures, sum({ read: batch.length }, await handle(batch, write)));
        },
        onLeft: (left) => onProgress({ left, figures: sum(before.figures, figures) }),
      }),
    );
    return {
      finished,
      figures: sum(before.figures, figures),
      problems: write && finished ? await rebuild.check(figures) : [],
    };
  };
  const report = (
    run: string | null,
    range: readonly Span[],
    rest: Awaited<ReturnType<typeof part>>,
  ): RebuildReport => ({
    applied: write,
    run,
    range,
    ...rest,
    seconds: (Date.now() - started) / 1_000,
  });
  const stateOf = ({ finished, problems }: Awaited<ReturnType<typeof part>>) =>
    !finished ? 'interrupted' : problems.length > 0 ? 'failed' : 'done';

  if (options.resume !== undefined && !write)
    throw new UsageError('--resume goes on writing: add --apply');
  if (!write) {
    const range = await planned(rebuild);
    return report(null, range, await part({ left: range, figures: {} }, () => Promise.resolve()));
  }
  return withActions(postgres, async (actions) => {
    const { resume } = options;
    if (resume !== undefined) {
      const taken = await takenUp(actions, resume, rebuild.command);
      const before = taken.progress as Progress | null;
      const range = (taken.what as { readonly range: readonly Span[] }).range;
      const rest = await ending(actions, resume, async () => {
        const outcome = await part(before ?? { left: range, figures: {} }, (progress) =>
          actions.progress(resume, progress),
        );
        return { state: stateOf(outcome), outcome };
      });
      return report(resume, range, rest);
    }
    const reason = requiredReason(options.reason);
    const range = await planned(rebuild);
    const what = { range, rate: options.rate ?? null };
    const { id, outcome } = await recorded(
      actions,
      { command: rebuild.command, reason, what },
      async (run) => {
        if (cli.watched) cli.note(`run ${run}; Ctrl-C stops it, --resume ${run} goes on`);
        const rest = await part({ left: range, figures: {} }, (progress) =>
          actions.progress(run, progress),
        );
        return { state: stateOf(rest), outcome: rest };
      },
    );
    return report(id, range, outcome);
  });
};

const planned = async ({ plan, nothing }: Rebuild): Promise<readonly Span[]> => {
  const range = (await plan()).filter(({ from, to }) => from < to);
  if (sizeOf(range) === 0) throw new NotNow(nothing);
  return range;
};
