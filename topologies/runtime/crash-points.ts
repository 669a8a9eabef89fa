import { existsSync, readFileSync } from 'node:fs';
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

const suicide = (): void => {
  process.kill(process.pid, 'SIGKILL');
};

/**
 * CRASH_AT=<task>.<point>[:<n>]: the process kills itself with SIGKILL as that task passes that point for the n-th
 * time (default 1). A task may end with `*` (`send.*`): then its lanes count together.
 * CRASH_AT=@<file>: as that file says, from the moment that it is there and for as long as it is: whoever writes it
 * lets a worker die that has been at work for a while.
 * @returns for a task, what it must call; undefined where it has no such point
 * @throws PipelineError config_invalid; with a file, as a point is passed
 */
export const crashPoints = (
  text: string | undefined,
  die: () => void = suicide,
): ((task: string) => PassPoint | undefined) => {
  if (text === undefined) return () => undefined;
  if (text.startsWith('@')) return pointsIn(text.slice(1), die);
  const crash = parse(text);
  return (task) => (crash.of(task) ? passing(crash, die) : undefined);
};

/** One to come: where, and how often the point will be passed until then. */
interface Crash {
  readonly of: (task: string) => boolean;
  readonly point: string;
  left: number;
}

const parse = (text: string): Crash => {
  const [, pattern = '', point = '', count = '1'] =
    /^(.+)\.([a-z-]+)(?::([1-9]\d*))?$/.exec(text) ?? [];
  if (!POINTS.has(point))
    throw new PipelineError(
      'config_invalid',
      `CRASH_AT is "${text}": give <task>.<point>[:<n>], the point one of ${[...POINTS].join(', ')}`,
    );
  return {
    of: (task) =>
      pattern.endsWith('*') ? task.startsWith(pattern.slice(0, -1)) : task === pattern,
    point,
    left: Number(count),
  };
};

const passing =
  (crash: Crash, die: () => void): PassPoint =>
  (passed) => {
    if (passed !== crash.point) return;
    crash.left -= 1;
    if (crash.left === 0) die();
  };

const pointsIn = (file: string, die: () => void): ((task: string) => PassPoint) => {
  let said = '';
  let crash: Crash | null = null;
  return (task) => (passed) => {
    const says = existsSync(file) ? readFileSync(file, 'utf8') : '';
    if (says !== said) crash = says === '' ? null : parse(says);
    said = says;
    if (crash?.of(task) === true) passing(crash, die)(passed);
  };
};
