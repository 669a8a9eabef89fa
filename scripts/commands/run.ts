import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { Lane } from '../../schemas/generated/records.js';
import { LANES } from '../../schemas/generated/records.js';
import type { WorkerGroup } from '../../topologies/main.js';
import { WORKER_GROUPS, runWorker } from '../../topologies/main.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { integer } from '../cli/options.js';

/** With 20 s to leave and 5 s to close less than the 30 s that supervisors give by default. */
const LEFTOVERS_MS = 2_000;

/**
 * A native call that never answers would keep alive what works no more, and no supervisor would see it; `process.exit`
 * waits for its thread too. By SIGTERM where it was told to stop and has (supervisors take that for well), else SIGKILL.
 */
const end = (signal: NodeJS.Signals): void => {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
  // Only a container's first process is still here: no signal of its own ends it.
  process.exit();
};

interface Options {
  readonly only?: readonly WorkerGroup[];
  readonly lanes?: readonly Lane[];
  readonly slot?: number;
}

/** A comma-separated list of some of `all`. */
const listOf =
  <T extends string>(all: readonly T[]) =>
  (text: string): readonly T[] =>
    text.split(',').map((name) => {
      const found = all.find((one) => one === name.trim());
      if (found === undefined) throw new InvalidArgumentError(`some of ${all.join(', ')}.`);
      return found;
    });

export const run = (cli: Cli): Command =>
  command(
    'run',
    'Run a worker until SIGTERM or Ctrl-C: it stops taking, finishes, commits and leaves.',
    [
      'millrace run                                  # everything in one process',
      'millrace run --only intake,settle --slot 1    # a second worker for these stages',
      'millrace run --only send --lanes p0           # a process of its own for the urgent lane',
      'curl -s localhost:8091/readyz                 # what it waits for, if anything (HEALTH_PORT)',
    ],
  )
    .option(
      '--only <groups>',
      'intake (dedupe, budget, route), send, again (what is released, replayed or redriven), settle (settle, receipts, attempts), windows (windows, breaker, InfluxDB)',
      listOf(WORKER_GROUPS),
    )
    .option('--lanes <lanes>', 'of intake, send and again; default all', listOf(LANES))
    .option(
      '--slot <n>',
      'the numbered place of this worker, held by no other; default SLOT or 0',
      integer(0, 9_999),
    )
    .action(async (options: Options) => {
      cli.environment(['kafka']);
      const stop = new AbortController();
      const onSignal = (signal: NodeJS.Signals) => {
        // A second one means now: whatever is open is fenced or aborted by the broker.
        if (stop.signal.aborted) end(signal);
        cli.note('stopping: finishing what was taken (again: stop at once)');
        stop.abort();
      };
      process.on('SIGTERM', onSignal);
      process.on('SIGINT', onSignal);
      let left: NodeJS.Signals = 'SIGKILL';
      try {
        await runWorker({
          ...options,
          environment: cli.variables,
          signal: stop.signal,
          onReady: ({ healthPort, callbackPort }) => {
            cli.note(
              `health http://127.0.0.1:${healthPort}/readyz${callbackPort === null ? '' : `, callbacks on ${callbackPort}`}`,
            );
          },
        });
        left = 'SIGTERM';
      } finally {
        process.off('SIGTERM', onSignal);
        process.off('SIGINT', onSignal);
        setTimeout(end, LEFTOVERS_MS, left).unref();
      }
    });
