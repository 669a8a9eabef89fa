import { CommanderError } from 'commander';
import pc from 'picocolors';
import { PipelineError, asError } from '../../schemas/error.js';

/** 0 done; 1 it failed, or a check found something; 2 the command line was wrong; 3 reconcile found breaks. */
export const EXIT = { ok: 0, failure: 1, usage: 2, breaks: 3 } as const;

/** Ends a command with code 1 after it has said all there is to say. */
export class Unsuccessful extends Error {}

/** Ends reconcile with code 3 after its report: whoever schedules it tells that from a run that failed. */
export class BreaksFound extends Error {}

/** A mistake in the command line that commander cannot see. */
export class UsageError extends Error {}

/** The command line is right, but what it names is not there, or must not be done now. */
export class NotNow extends Error {}

/** What to do, by error code, where the message does not say it already. */
const HINTS: Readonly<Partial<Record<PipelineError['code'], string>>> = {
  kafka_unavailable: 'Is the local stack up? npm run stack up. Elsewhere: check KAFKA_BROKERS.',
  registry_unavailable:
    'Is the local stack up? npm run stack up. Elsewhere: check SCHEMA_REGISTRY_URL.',
  postgres_unavailable: 'Is the local stack up? npm run stack up. Elsewhere: check DATABASE_URL.',
  redis_unavailable: 'Is the local stack up? npm run stack up. Elsewhere: check REDIS_URL.',
  influx_unavailable: 'Is the local stack up? npm run stack up. Elsewhere: check INFLUX_URL.',
};

/** Says what went wrong in a line or two, and answers the exit code. Stacks only with MILLRACE_DEBUG=1. */
export const explain = (thrown: unknown, say: (line: string) => void, debug: boolean): number => {
  if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT.ok : EXIT.usage; // commander has said it
  if (thrown instanceof Unsuccessful) return EXIT.failure;
  if (thrown instanceof BreaksFound) return EXIT.breaks;
  const error = asError(thrown);
  say(`${pc.red('millrace:')} ${error.message}`);
  if (error instanceof PipelineError) {
    const hint = HINTS[error.code];
    if (hint !== undefined) say(hint);
  }
  if (debug) say(error.stack ?? '');
  return error instanceof UsageError ? EXIT.usage : EXIT.failure;
};

/** Of a program of ours that ends with this: says it on standard error. */
export const exitCodeOf = (thrown: unknown): number =>
  explain(
    thrown,
    (line) => {
      process.stderr.write(`${line}\n`);
    },
    process.env['MILLRACE_DEBUG'] === '1',
  );
