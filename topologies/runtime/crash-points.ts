import { PipelineError } from '../../schemas/error.js';

/**
 * Where a fault test can have a worker kill itself (docs/faults.md), in the order in which a batch passes them.
 * Tasks: a stage has asked its dependency; outputs are handed to the producer; offsets are in the transaction; it is
 * committed, and nobody here has acted on that yet; a call was answered, and nothing in Kafka says so.
 * Sinks: a batch is read; its effect is stored, and Kafka's offsets are not.
 */
export const TASK_CRASH_POINTS = [
  'after-gather',
  'before-offsets',
  'after-offsets-sent',
  'after-commit',
  'after-call',
] as const;
export const SINK_CRASH_POINTS = ['before-effect', 'after-effect'] as const;

export type CrashPoint = (typeof TASK_CRASH_POINTS)[number] | (typeof SINK_CRASH_POINTS)[number];
/** Called as a task passes a point; absent outside fault tests. */
export type PassPoint = (point: CrashPoint) => void;

const POINTS: ReadonlySet<string> = new Set([...TASK_CRASH_POINTS, ...SINK_CRASH_POINTS]);

/**
 * CRASH_AT=<task>.<point>[:<n>]: the process kills itself with SIGKILL as that task passes that point for the n-th
 * time (default 1). A task may end with `*` (`send.*`): then its lanes count together.
 * @returns for a task, what it must call; undefined where it has no such point
 * @throws PipelineError config_invalid
 */
export const crashPoints = (
  text: string | undefined,
  die: () => void = () => {
    process.kill(process.pid, 'SIGKILL');
  },
): ((task: string) => PassPoint | undefined) => {
  if (text === undefined) return () => undefined;
  const [, pattern = '', point = '', count = '1'] =
    /^(.+)\.([a-z-]+)(?::([1-9]\d*))?$/.exec(text) ?? [];
  if (!POINTS.has(point))
    throw new PipelineError(
      'config_invalid',
      `CRASH_AT is "${text}": give <task>.<point>[:<n>], the point one of ${[...POINTS].join(', ')}`,
    );
  let left = Number(count);
  const pass: PassPoint = (passed) => {
    if (passed !== point) return;
    left -= 1;
    if (left === 0) die();
  };
  const matches = (task: string): boolean =>
    pattern.endsWith('*') ? task.startsWith(pattern.slice(0, -1)) : task === pattern;
  return (task) => (matches(task) ? pass : undefined);
};
