import type { Environment } from '../../topologies/config.js';
import { ending, recorded, requiredReason, takenUp, withActions } from '../actions/recorded.js';
import type { Ended } from '../actions/recorded.js';
import type { Cli } from '../cli/cli.js';
import { NotNow, UsageError } from '../cli/exit.js';
import type { Figures } from '../replay/figures.js';
import type { Span } from './spans.js';
import { sizeOf } from './spans.js';

/** Options of every rebuild. */
export interface RebuildOptions {
  readonly apply?: true;
  readonly reason?: string;
  /** A run to go on with. */
  readonly resume?: string;
  readonly rate?: number;
  readonly json?: true;
}

/** What a run works on, resolved once and recorded: plain JSON. */
export interface RebuildPlan {
  readonly range: readonly Span[];
}

/** What is kept of a run under way. */
export interface Progress {
  readonly left: readonly Span[];
  readonly figures: Figures;
}

export interface PartOutcome {
  readonly finished: boolean;
  /** Of all parts of the run. */
  readonly figures: Figures;
  /** What is not as it should be; empty: all is. */
  readonly problems: readonly string[];
}

export interface RecordedRun<P extends RebuildPlan> {
  readonly command: string;
  /** Said where there is nothing to read. */
  readonly nothing: string;
  readonly plan: () => Promise<P>;
  /** All that is left of a run, or as much as there is time for. */
  readonly part: (
    plan: P,
    before: Progress,
    write: boolean,
    onProgress: (progress: Progress) => Promise<void>,
  ) => Promise<PartOutcome>;
}

export interface RebuildReport extends PartOutcome {
  readonly applied: boolean;
  /** null: nothing was recorded, as nothing was done. */
  readonly run: string | null;
  readonly range: readonly Span[];
  readonly seconds: number;
}

/**
 * A dry run, or one that writes and is recorded, under an id by which it can be gone on with.
 * @throws NotNow where there is nothing to read, or the run cannot be gone on with; UsageError without a reason
 */
export const runRecorded = async <P extends RebuildPlan>(
  cli: Cli,
  { postgres }: Pick<Environment, 'postgres'>,
  options: RebuildOptions,
  work: RecordedRun<P>,
): Promise<RebuildReport> => {
  const started = Date.now();
  const write = options.apply === true;
  const report = (run: string | null, { range }: P, rest: PartOutcome): RebuildReport => ({
    applied: write,
    run,
    range,
    ...rest,
    seconds: (Date.now() - started) / 1_000,
  });

  if (options.resume !== undefined && !write)
    throw new UsageError('--resume goes on writing: add --apply');
  if (!write) {
    const plan = await planned(work);
    const before = { left: plan.range, figures: {} };
    return report(null, plan, await work.part(plan, before, false, () => Promise.resolve()));
  }
  return withActions(postgres, async (actions) => {
    const act = async (run: string, plan: P, before: Progress | null) => {
      const outcome = await work.part(
        plan,
        before ?? { left: plan.range, figures: {} },
        true,
        (progress) => actions.progress(run, progress),
      );
      return { state: stateOf(outcome), outcome };
    };
    const { resume } = options;
    if (resume !== undefined) {
      const taken = await takenUp(actions, resume, work.command);
      const plan = taken.what as P;
      const before = taken.progress as Progress | null;
      return report(resume, plan, await ending(actions, resume, () => act(resume, plan, before)));
    }
    const reason = requiredReason(options.reason);
    const plan = await planned(work);
    const what = { ...plan, rate: options.rate ?? null };
    const { id, outcome } = await recorded(
      actions,
      { command: work.command, reason, what },
      (run) => {
        if (cli.watched) cli.note(`run ${run}; Ctrl-C stops it, --resume ${run} goes on`);
        return act(run, plan, null);
      },
    );
    return report(id, plan, outcome);
  });
};

const stateOf = ({ finished, problems }: PartOutcome): Ended<PartOutcome>['state'] =>
  !finished ? 'interrupted' : problems.length > 0 ? 'failed' : 'done';

const planned = async <P extends RebuildPlan>({ plan, nothing }: RecordedRun<P>): Promise<P> => {
  const found = await plan();
  const range = found.range.filter(({ from, to }) => from < to);
  if (sizeOf(range) === 0) throw new NotNow(nothing);
  return { ...found, range };
};
