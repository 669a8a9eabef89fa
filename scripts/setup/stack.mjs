// @ts-check
import { down, reset } from '../../infra/stack/down.mjs';
import { componentNames } from '../../infra/stack/endpoints.mjs';
import { OperatorError, runMain } from '../../infra/stack/operator-error.mjs';
import { envFile, logFile } from '../../infra/stack/paths.mjs';
import { progressFor, seconds } from '../../infra/stack/progress.mjs';
import { status, statusTable } from '../../infra/stack/status.mjs';
import { lastLogLines } from '../../infra/stack/supervision.mjs';
import { up } from '../../infra/stack/up.mjs';
import { onInterrupt } from './interrupt.mjs';
import { setUp } from './set-up.mjs';

const help = `npm run stack <command>

  up [--secure]     start what doesn't run: Kafka, schema registry, Postgres, Redis, InfluxDB;
                    --secure: Kafka with SASL, TLS and access rules (docs/operators/security.md)
  down              stop it; data stays
  status [--json]   what runs, where, and whether it answers; exit 1 unless all does
  reset             stop it and forget its data
  logs [component]  the last lines of ${componentNames.join(', ')}; --lines N (default 40)

Addresses for your shell: source .stack/env
MILLRACE_PORT_BASE=31000 moves all ports; KAFKA_BROKERS, SCHEMA_REGISTRY_URL, DATABASE_URL,
REDIS_URL or INFLUX_URL replaces that component by one of your own.
`;

const args = process.argv.slice(2);

/** @type {Record<string, () => Promise<number>>} */
const commands = {
  async up() {
    const progress = progressFor(args);
    const startedAt = performance.now();
    await setUp({ progress, for: 'stack' });
    const { started } = await up({
      progress,
      signal: onInterrupt(),
      ...(args.includes('--secure') ? { secure: true } : {}),
    });
    const time = seconds(performance.now() - startedAt);
    progress.say(
      `stack            ${started.length > 0 ? 'up' : 'already up'} (${time}); addresses: ${envFile}`,
    );
    return 0;
  },
  async down() {
    const progress = progressFor(args);
    const count = await down({ progress });
    if (count === 0) progress.say('stack            nothing was running');
    return 0;
  },
  async reset() {
    const progress = progressFor(args);
    await reset({ progress });
    progress.say('stack            stopped, data forgotten');
    return 0;
  },
  async status() {
    const statuses = await status();
    const text = args.includes('--json')
      ? JSON.stringify(statuses, null, 2)
      : statusTable(statuses);
    process.stdout.write(`${text}\n`);
    return statuses.every(({ answers }) => answers) ? 0 : 1;
  },
  async logs() {
    const asked = args.slice(1).filter((arg) => componentNames.some((name) => name === arg));
    const count = Number(args[args.indexOf('--lines') + 1]);
    for (const name of asked.length > 0 ? asked : componentNames) {
      const lines = lastLogLines(name, args.includes('--lines') && count > 0 ? count : 40);
      process.stdout.write(`== ${logFile(name)}\n${lines.map((line) => `${line}\n`).join('')}`);
    }
    return 0;
  },
};

await runMain(async () => {
  const command = args.find((arg) => !arg.startsWith('-'));
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(help);
    return 0;
  }
  const run = Object.hasOwn(commands, command ?? '') ? commands[command ?? ''] : undefined;
  if (run === undefined) {
    throw new OperatorError(
      command ? `stack has no command "${command}"` : 'stack needs a command',
      help,
    );
  }
  return run();
});
