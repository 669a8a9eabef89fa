import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { asError } from '../../schemas/error.js';
import { plans } from '../../topologies/testing/simulation/arbitrary.js';
import { type Plan, script } from '../../topologies/testing/simulation/plan.js';
import { simulate } from '../../topologies/testing/simulation/simulation.js';
import { command } from '../cli/command.js';
import { EXIT, UsageError } from '../cli/exit.js';
import { integer, positive } from '../cli/options.js';
import { runProgram } from '../cli/program.js';

/** Plans a seed: a new one begins after so many, so that time is looked at often. */
const PLANS_A_SEED = 100;

interface Options {
  readonly minutes: number;
  readonly seed: number;
  readonly plan?: string;
  readonly json?: true;
}

interface Tally {
  runs: number;
  records: number;
  submits: number;
  held: number;
  simulatedMs: number;
  readonly faults: Map<string, number>;
}

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

const count = (tally: Tally, result: Awaited<ReturnType<typeof simulate>>): void => {
  tally.runs += 1;
  tally.records += result.records;
  tally.submits += result.submits;
  tally.held += result.held;
  tally.simulatedMs += result.simulatedMs;
  for (const [kind, times] of result.faults)
    tally.faults.set(kind, (tally.faults.get(kind) ?? 0) + times);
};

/** The first plan of this seed that breaks a promise, made as small as it goes; null: none does. */
const search = async (seed: number, tally: Tally): Promise<Plan | null> => {
  const found = await fc.check(
    fc.asyncProperty(plans, async (plan) => {
      const result = await simulate(plan);
      count(tally, result);
      return result.broken.length === 0;
    }),
    { numRuns: PLANS_A_SEED, seed },
  );
  return found.counterexample?.[0] ?? null;
};

/** Plan and story for people; the plan as JSON runs again with --plan. */
const tell = async (plan: Plan): Promise<readonly string[]> => {
  const { broken, story } = await simulate(plan, { story: true });
  say(['the plan', ...script(plan), '', 'what happened', ...story, ''].join('\n'));
  say(broken.length === 0 ? 'every promise was kept' : ['broken', ...broken].join('\n  '));
  return broken;
};

const many = async ({ minutes, seed: first }: Options) => {
  const tally: Tally = {
    runs: 0,
    records: 0,
    submits: 0,
    held: 0,
    simulatedMs: 0,
    faults: new Map(),
  };
  const started = performance.now();
  const seconds = (): number => (performance.now() - started) / 1_000;
  let failure: { seed: number; plan: Plan; broken: readonly string[] } | null = null;
  for (let seed = first; seconds() < minutes * 60 && failure === null; seed++) {
    const plan = await search(seed, tally);
    if (plan !== null) failure = { seed, plan, broken: await tell(plan) };
  }
  const { faults, simulatedMs, ...sums } = tally;
  const took = seconds();
  const cpu = process.cpuUsage();
  return {
    ...sums,
    seed: first,
    seconds: Math.round(took),
    runsPerMinute: Math.round((tally.runs / took) * 60),
    cpuMsPerRun: Math.round((cpu.user + cpu.system) / 1_000 / Math.max(1, tally.runs)),
    simulatedHours: Math.round(simulatedMs / 36_000) / 100,
    faults: Object.fromEntries([...faults].sort(([a], [b]) => (a < b ? -1 : 1))),
    broken: failure,
  };
};

const planOf = (file: string): Plan => {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Plan;
  } catch (thrown) {
    throw new UsageError(`--plan ${file}: ${asError(thrown).message}`);
  }
};

const simulation = command(
  'npm run simulate --',
  'Random plans of faults over the real tasks, in simulated time; a broken promise is told as a story.',
  [
    'npm run simulate',
    'npm run simulate -- --minutes 10 --seed 1000 --json',
    'npm run simulate -- --plan plan.json    # as a failure prints it',
  ],
)
  .option('--minutes <m>', 'for so long', positive, 1)
  .option(
    '--seed <s>',
    'of the first plans; the same seed makes the same plans',
    integer(0, 2 ** 31),
    1,
  )
  .option('--plan <file>', 'run this one plan (JSON) and tell its story')
  .option('--json', 'one line of JSON')
  .exitOverride();

const main = async (options: Options): Promise<number> => {
  if (options.plan !== undefined)
    return (await tell(planOf(options.plan))).length === 0 ? EXIT.ok : EXIT.failure;
  const result = await many(options);
  process.stdout.write(
    `${JSON.stringify(result, undefined, options.json === true ? undefined : 2)}\n`,
  );
  return result.broken === null ? EXIT.ok : EXIT.failure;
};

await runProgram(simulation, () => main(simulation.opts<Options>()));
