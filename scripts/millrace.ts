import { Command } from 'commander';
import { releaseVersion } from '../schemas/root.js';
import type { Cli } from './cli/cli.js';
import { processCli } from './cli/cli.js';
import { exitCodeOf } from './cli/exit.js';
import { surroundings } from './cli/stack-env.js';

/** Makes one top-level command. Its module, and what that imports, is loaded only where it is asked for. */
type Make = (cli: Cli) => Promise<Command>;

/** A group of commands from their modules. */
const grouped =
  (name: string, description: string, ...commands: readonly Make[]): Make =>
  async (cli) => {
    const parent = new Command(name).description(description);
    for (const one of await Promise.all(commands.map((make) => make(cli)))) parent.addCommand(one);
    return parent;
  };

/** All commands, by the first word of a command line. A new one: its file in commands/, a line here. */
const COMMANDS: Readonly<Record<string, Make>> = {
  topics: grouped('topics', 'The topics of an installation', async (cli) =>
    (await import('./commands/topics-apply.js')).topicsApply(cli),
  ),
  schemas: grouped('schemas', 'Schemas in the registry', async (cli) =>
    (await import('./commands/schemas-register.js')).schemasRegister(cli),
  ),
  config: grouped(
    'config',
    'Business configuration: tenants, channels, prices, policy',
    async (cli) => (await import('./commands/config-apply.js')).configApply(cli),
  ),
  topology: grouped('topology', 'How stages and topics are wired', async (cli) =>
    (await import('./commands/topology-describe.js')).topologyDescribe(cli),
  ),
  acls: grouped(
    'acls',
    'Access rules for Kafka',
    async (cli) => (await import('./commands/acls-print.js')).aclsPrint(cli),
    async (cli) => (await import('./commands/acls-apply.js')).aclsApply(cli),
  ),
  grants: grouped(
    'grants',
    'Roles and rights in Postgres',
    async (cli) => (await import('./commands/grants-print.js')).grantsPrint(cli),
    async (cli) => (await import('./commands/grants-apply.js')).grantsApply(cli),
  ),
  run: async (cli) => (await import('./commands/run.js')).run(cli),
  produce: async (cli) => (await import('./commands/produce.js')).produce(cli),
  trace: async (cli) => (await import('./commands/trace.js')).trace(cli),
  status: async (cli) => (await import('./commands/status.js')).status(cli),
  doctor: async (cli) => (await import('./commands/doctor.js')).doctor(cli),
  budget: grouped(
    'budget',
    'What accounts hold, and what is booked on them',
    async (cli) => (await import('./commands/budget-show.js')).budgetShow(cli),
    async (cli) => (await import('./commands/budget-grant.js')).budgetGrant(cli),
    async (cli) => (await import('./commands/budget-transfer.js')).budgetTransfer(cli),
    async (cli) => (await import('./commands/budget-close.js')).budgetClose(cli),
    async (cli) => (await import('./commands/budget-history.js')).budgetHistory(cli),
    async (cli) => (await import('./commands/budget-burn.js')).budgetBurn(cli),
    async (cli) => (await import('./commands/budget-detach.js')).budgetDetach(cli),
    async (cli) => (await import('./commands/budget-leases.js')).budgetLeases(cli),
    async (cli) => (await import('./commands/budget-quota.js')).budgetQuota(cli),
  ),
  audit: grouped(
    'audit',
    'Recharges that rules proposed: what waits for a person, and the archive',
    async (cli) => (await import('./commands/audit-list.js')).auditList(cli),
    async (cli) => (await import('./commands/audit-show.js')).auditShow(cli),
    async (cli) => (await import('./commands/audit-decide.js')).auditApprove(cli),
    async (cli) => (await import('./commands/audit-decide.js')).auditReject(cli),
  ),
  reconcile: async (cli) => (await import('./commands/reconcile.js')).reconcileCommand(cli),
  breaker: grouped(
    'breaker',
    "A provider's rate by hand (level 1)",
    async (cli) => (await import('./commands/breaker.js')).breakerHold(cli),
    async (cli) => (await import('./commands/breaker.js')).breakerRelease(cli),
    async (cli) => (await import('./commands/breaker.js')).breakerSet(cli),
  ),
  rebuild: grouped(
    'rebuild',
    'Derive a store from topics again, after it was lost',
    async (cli) => (await import('./commands/rebuild-redis.js')).rebuildRedis(cli),
    async (cli) => (await import('./commands/rebuild-windows.js')).rebuildWindowsCommand(cli),
    async (cli) => (await import('./commands/rebuild-influx.js')).rebuildInflux(cli),
  ),
  replay: async (cli) => (await import('./commands/replay.js')).replay(cli),
  redrive: async (cli) => (await import('./commands/redrive.js')).redrive(cli),
  shadow: async (cli) => (await import('./commands/shadow.js')).shadow(cli),
  transactions: async (cli) => (await import('./commands/transactions.js')).transactions(cli),
  actions: async (cli) => (await import('./commands/actions.js')).actions(cli),
};

/**
 * The command line's commands.
 * @param first its first word: where that names a command no other is loaded, which halves how long a command takes to
 * begin. Anything else (none, an option, a mistake) needs them all.
 */
export const program = async (cli: Cli, first?: string): Promise<Command> => {
  const root = new Command('millrace')
    .version(releaseVersion())
    .description(
      'Delivers messages from Kafka: decides once, pays once, sends once.\nConnections come from the environment (KAFKA_BROKERS, ...), or from .stack/env where that is unset.',
    )
    .addHelpText(
      'after',
      `
First steps, on a running stack (npm run stack up):
  $ millrace topics apply
  $ millrace schemas register
  $ millrace config apply
  $ millrace run
  $ millrace produce --count 100
  $ millrace status

Exit codes: 0 done, 1 failed or a check found something, 2 wrong command line,
3 reconcile found breaks.`,
    );
  // What follows a subcommand's name is the subcommand's: `transactions abort --json`.
  root.enablePositionalOptions();
  const named = Object.entries(COMMANDS).filter(([name]) => name === first);
  const makes = named.length > 0 ? named : Object.entries(COMMANDS);
  for (const command of await Promise.all(makes.map(([, make]) => make(cli))))
    root.addCommand(command);
  return root;
};

/** commander ends the process on its own unless each command is told not to. */
const withoutExit = (command: Command): void => {
  command.exitOverride();
  command.commands.forEach(withoutExit);
};

/** Runs one command line; sets the exit code and lets the process end by itself. */
export const main = async (argv: readonly string[]): Promise<void> => {
  const cli = processCli(surroundings(process.env));
  const root = await program(cli, argv[2]);
  withoutExit(root);
  try {
    await root.parseAsync(argv);
  } catch (thrown) {
    process.exitCode = exitCodeOf(thrown);
  }
};
