import { Command } from 'commander';
import { releaseVersion } from '../schemas/root.js';
import type { Cli } from './cli/cli.js';
import { processCli } from './cli/cli.js';
import { exitCodeOf } from './cli/exit.js';
import { surroundings } from './cli/stack-env.js';
import { aclsApply } from './commands/acls-apply.js';
import { aclsPrint } from './commands/acls-print.js';
import { actions } from './commands/actions.js';
import { auditApprove, auditReject } from './commands/audit-decide.js';
import { auditList } from './commands/audit-list.js';
import { auditShow } from './commands/audit-show.js';
import { breakerHold, breakerRelease, breakerSet } from './commands/breaker.js';
import { budgetBurn } from './commands/budget-burn.js';
import { budgetClose } from './commands/budget-close.js';
import { budgetDetach } from './commands/budget-detach.js';
import { budgetGrant } from './commands/budget-grant.js';
import { budgetHistory } from './commands/budget-history.js';
import { budgetQuota } from './commands/budget-quota.js';
import { budgetShow } from './commands/budget-show.js';
import { budgetTransfer } from './commands/budget-transfer.js';
import { configApply } from './commands/config-apply.js';
import { doctor } from './commands/doctor.js';
import { grantsApply } from './commands/grants-apply.js';
import { grantsPrint } from './commands/grants-print.js';
import { produce } from './commands/produce.js';
import { reconcileCommand } from './commands/reconcile.js';
import { rebuildInflux } from './commands/rebuild-influx.js';
import { rebuildRedis } from './commands/rebuild-redis.js';
import { rebuildWindowsCommand } from './commands/rebuild-windows.js';
import { redrive } from './commands/redrive.js';
import { replay } from './commands/replay.js';
import { run } from './commands/run.js';
import { schemasRegister } from './commands/schemas-register.js';
import { shadow } from './commands/shadow.js';
import { status } from './commands/status.js';
import { topicsApply } from './commands/topics-apply.js';
import { trace } from './commands/trace.js';
import { transactions } from './commands/transactions.js';
import { topologyDescribe } from './commands/topology-describe.js';

const group = (name: string, description: string, ...commands: readonly Command[]): Command => {
  const parent = new Command(name).description(description);
  for (const one of commands) parent.addCommand(one);
  return parent;
};

/** All commands. A new one: its file in commands/, a line here. */
export const program = (cli: Cli): Command => {
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
  root.addCommand(group('topics', 'The topics of an installation', topicsApply(cli)));
  root.addCommand(group('schemas', 'Schemas in the registry', schemasRegister(cli)));
  root.addCommand(
    group('config', 'Business configuration: tenants, channels, prices, policy', configApply(cli)),
  );
  root.addCommand(group('topology', 'How stages and topics are wired', topologyDescribe(cli)));
  root.addCommand(group('acls', 'Access rules for Kafka', aclsPrint(cli), aclsApply(cli)));
  root.addCommand(
    group('grants', 'Roles and rights in Postgres', grantsPrint(cli), grantsApply(cli)),
  );
  root.addCommand(run(cli));
  root.addCommand(produce(cli));
  root.addCommand(trace(cli));
  root.addCommand(status(cli));
  root.addCommand(doctor(cli));
  root.addCommand(
    group(
      'budget',
      'What accounts hold, and what is booked on them',
      budgetShow(cli),
      budgetGrant(cli),
      budgetTransfer(cli),
      budgetClose(cli),
      budgetHistory(cli),
      budgetBurn(cli),
      budgetDetach(cli),
      budgetQuota(cli),
    ),
  );
  root.addCommand(
    group(
      'audit',
      'Recharges that rules proposed: what waits for a person, and the archive',
      auditList(cli),
      auditShow(cli),
      auditApprove(cli),
      auditReject(cli),
    ),
  );
  root.addCommand(reconcileCommand(cli));
  root.addCommand(
    group(
      'breaker',
      "A provider's rate by hand (level 1)",
      breakerHold(cli),
      breakerRelease(cli),
      breakerSet(cli),
    ),
  );
  root.addCommand(
    group(
      'rebuild',
      'Derive a store from topics again, after it was lost',
      rebuildRedis(cli),
      rebuildWindowsCommand(cli),
      rebuildInflux(cli),
    ),
  );
  root.addCommand(replay(cli));
  root.addCommand(redrive(cli));
  root.addCommand(shadow(cli));
  root.addCommand(transactions(cli));
  root.addCommand(actions(cli));
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
  const root = program(cli);
  withoutExit(root);
  try {
    await root.parseAsync(argv);
  } catch (thrown) {
    process.exitCode = exitCodeOf(thrown);
  }
};
