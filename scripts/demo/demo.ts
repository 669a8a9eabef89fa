import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { toJson } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { EXIT } from '../cli/exit.js';
import { integer } from '../cli/options.js';
import { runProgram } from '../cli/program.js';
import { surroundings } from '../cli/stack-env.js';
import { readEnvironment } from '../../topologies/config.js';
import { BAD_SCOPE, play } from './play.js';
import { closingTable, resultOf } from './report.js';
import { runIdentity } from './run-identity.js';
import type { Stage } from './stage.js';
import { setStage } from './stage.js';
import { verify } from './verify.js';
import { openView } from './view.js';

interface Options {
  readonly messages: number;
  readonly seconds: number;
  readonly seed: number;
  readonly json?: true;
  readonly keep?: true;
}

/** What sms may be asked a second, in multiples of the mean of all traffic: above its peak, until it is halved. */
const SMS_RATE_FACTOR = 4;
const LEAST_SMS_RATE = 20;

const demo = command(
  'npm run demo --',
  'Runs the whole system on simulated carriers and realistic traffic; one channel turns bad half-way. Ends with a table that adds up.',
  ['npm run demo', 'npm run demo -- --messages 20000 --json', 'npm run demo -- --keep'],
)
  .option(
    '--messages <n>',
    'records to write, duplicates and malformed ones included',
    integer(1, 10_000_000),
    5_000,
  )
  .option('--seconds <n>', 'over which they arrive', integer(1, 86_400), 75)
  .option(
    '--seed <n>',
    'the same seed gives the same duplicates, malformed and unaffordable ones',
    integer(0),
    1,
  )
  .option('--json', 'the last line is one JSON object')
  .option('--keep', 'leave worker, carriers, topics and tables for a look around')
  .exitOverride();

const main = async (options: Options): Promise<number> => {
  const { variables } = surroundings(process.env);
  const server = readEnvironment(variables, ['kafka', 'registry', 'postgres', 'influx', 'redis']);
  // With --json only the result goes to stdout.
  const stream = options.json === true ? process.stderr : process.stdout;
  const view = openView(stream);
  const identity = runIdentity(server, options.seed);
  const interrupted = new AbortController();
  const onSignal = () => {
    interrupted.abort();
  };
  process.once('SIGINT', onSignal);
  process.once('SIGTERM', onSignal);

  const stage = await setStage({
    identity,
    server,
    registry: server.registry,
    variables: { ...variables },
    seed: options.seed,
    keep: options.keep === true,
    ratePerSecond: Math.max(
      LEAST_SMS_RATE,
      Math.ceil((options.messages / options.seconds) * SMS_RATE_FACTOR),
    ),
    say: view.say,
  });
  let failed = true;
  try {
    const startedAt = Date.now();
    await play(stage, {
      seed: options.seed,
      messages: options.messages,
      durationMs: options.seconds * 1_000,
      startedAt,
      signal: interrupted.signal,
      view,
    });
    view.close();
    if (interrupted.signal.aborted) return 130;
    const outcome = await verify(stage, {
      startedAt,
      messages: options.messages,
      badScope: BAD_SCOPE,
    });
    stream.write(`\n${closingTable(outcome)}\n`);
    if (options.json === true) process.stdout.write(`${toJson(resultOf(outcome))}\n`);
    failed = outcome.problems.length > 0;
    return failed ? EXIT.failure : EXIT.ok;
  } finally {
    view.close();
    await clear(stage, options.keep === true, failed, stream);
  }
};

const clear = async (
  stage: Stage,
  keep: boolean,
  failed: boolean,
  stream: NodeJS.WriteStream,
): Promise<void> => {
  const { identity, worker, simulator, variables } = stage;
  const left = await stage.strike(keep);
  for (const what of left) stream.write(`could not remove ${what}\n`);
  if (failed) stream.write(`logs: ${identity.folder}\n`);
  else if (!keep) rmSync(identity.folder, { recursive: true, force: true });
  if (!keep) return;
  const file = path.join(identity.folder, 'env');
  writeFileSync(
    file,
    Object.entries(variables)
      .map(([name, value]) => `export ${name}='${value}'\n`)
      .join(''),
    { mode: 0o600 },
  );
  stream.write(
    [
      `\nKept: worker ${worker.child.pid}, carriers ${simulator.child.pid} (kill ${worker.child.pid} ${simulator.child.pid} ends them).`,
      `  . .stack/env && . ${path.relative(process.cwd(), file)}`,
      '  npx millrace status --dir scripts/demo/config',
      '',
    ].join('\n'),
  );
};

await runProgram(demo, () => main(demo.opts<Options>()));
