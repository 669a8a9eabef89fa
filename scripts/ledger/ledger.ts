import { toJson } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { EXIT } from '../cli/exit.js';
import { untilInterrupted } from '../cli/interruption.js';
import { integer } from '../cli/options.js';
import { runProgram } from '../cli/program.js';
import { runLedger } from './run-ledger.js';

interface Options {
  readonly operations: number;
  readonly clients: number;
  readonly kills: number;
  readonly seed: number;
  readonly json?: true;
}

const ledger = command(
  'npm run ledger --',
  'Random reservations, resolutions, expiries and transfers of clients at once on a Postgres that is killed; then every row and account is compared with what the clients were told.',
  ['npm run ledger', 'npm run ledger -- --operations 50000 --kills 2 --seed 7 --json'],
)
  .option('--operations <n>', 'of all clients together', integer(100, 100_000_000), 1_000_000)
  .option('--clients <n>', 'at once', integer(1, 64), 8)
  .option('--kills <n>', 'of Postgres, evenly through the run', integer(0, 1_000), 5)
  .option('--seed <n>', 'the same seed asks for the same things', integer(0), 1)
  .option('--json', 'the last line is one JSON object')
  .exitOverride();

const main = async (options: Options): Promise<number> => {
  const stream = options.json === true ? process.stderr : process.stdout;
  const say = (line: string) => {
    stream.write(`${line}\n`);
  };
  const report = await runLedger({ ...options, signal: untilInterrupted(), say });
  for (const problem of report.problems) say(`problem: ${problem}`);
  say(
    `${report.operations} operations, ${report.rows} reservations, ${report.kills} kills, ${report.repeated} calls repeated; wrong: ${report.wrongAccounts} accounts, ${report.wrongQuotas} quotas, ${report.wrongMessages} messages, ${report.wrongTransfers} transfers`,
  );
  if (options.json === true) process.stdout.write(`${toJson(report)}\n`);
  return report.problems.length === 0 ? EXIT.ok : EXIT.failure;
};

await runProgram(ledger, () => main(ledger.opts<Options>()));
