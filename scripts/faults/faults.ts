import { InvalidArgumentError } from 'commander';
import { toJson } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { EXIT } from '../cli/exit.js';
import { untilInterrupted } from '../cli/interruption.js';
import { integer, positive } from '../cli/options.js';
import { runProgram } from '../cli/program.js';
import { surroundings } from '../cli/stack-env.js';
import { runFaults } from './run-faults.js';
import { FAMILIES, type Family } from './scene.js';

interface Options {
  readonly minutes: number;
  readonly seed: number;
  readonly only: readonly Family[];
  readonly rate: number;
  readonly shared?: true;
  readonly json?: true;
}

/** Beside the stack's own block, and below the ports that systems lend to clients. */
const PORT_BASE = 27_000;

const families = (text: string): readonly Family[] =>
  text.split(',').map((name) => {
    const found = FAMILIES.find((one) => one === name.trim());
    if (found === undefined) throw new InvalidArgumentError(`some of ${FAMILIES.join(', ')}.`);
    return found;
  });

const faults = command(
  'npm run faults --',
  'Breaks workers, brokers, connections and dependencies under load, and judges what became of every record.',
  [
    'npm run faults',
    'npm run faults -- --minutes 10 --json',
    'npm run faults -- --only crash,rebalance --seed 7',
  ],
)
  .option('--minutes <m>', 'of traffic under faults; rests and set-up come on top', positive, 3)
  .option('--seed <n>', 'the same seed makes the same faults in the same order', integer(0), 1)
  .option('--only <families>', `some of ${FAMILIES.join(', ')}`, families, FAMILIES)
  .option('--rate <n>', 'records a second, mean', integer(1, 100_000), 500)
  .option('--shared', 'on the stack of the environment: only faults that break nothing of it')
  .option('--json', 'the last line is one JSON object')
  .exitOverride();

const main = async (options: Options): Promise<number> => {
  const stream = options.json === true ? process.stderr : process.stdout;
  const say = (line: string) => {
    stream.write(`${line}\n`);
  };
  const report = await runFaults({
    ...options,
    families: options.only,
    shared: options.shared === true,
    portBase: Number(process.env['MILLRACE_PORT_BASE'] ?? PORT_BASE),
    variables: surroundings(process.env).variables,
    signal: untilInterrupted(),
    say,
  });
  for (const problem of report.problems) say(`problem: ${problem}`);
  if (report.evidence !== null)
    say(
      `evidence: ${report.evidence}\nagain: npm run faults -- --seed ${options.seed} --minutes ${options.minutes} --rate ${options.rate} --only ${options.only.join(',')}${options.shared === true ? ' --shared' : ''}`,
    );
  else say('nothing lost, nothing doubled');
  if (options.json === true) process.stdout.write(`${toJson(report)}\n`);
  return report.problems.length === 0 ? EXIT.ok : EXIT.failure;
};

await runProgram(faults, () => main(faults.opts<Options>()));
