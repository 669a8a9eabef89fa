import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { LANES } from '../../schemas/generated/records.js';
import { plan } from '../../topologies/plan.js';
import { topicNames } from '../../topologies/topic-names.js';
import type { Role } from '../acls/roles.js';
import { ROLES, aclLine, aclRules } from '../acls/roles.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { CONFIG_FOLDER, businessConfig, tableOf } from '../cli/installation.js';

type Principals = ReadonlyMap<Role, string>;

/** Collects role=User:name. */
const principal = (text: string, before: Principals = new Map()): Principals => {
  const [name, ...rest] = text.split('=');
  const role = ROLES.find((one) => one === name);
  if (role === undefined || rest.length === 0)
    throw new InvalidArgumentError(`role=User:name, where role is one of ${ROLES.join(', ')}.`);
  return new Map([...before, [role, rest.join('=')]]);
};

interface Options {
  readonly principal?: Principals;
  readonly dir: string;
  readonly json?: true;
}

export const aclsPrint = (cli: Cli): Command =>
  command(
    'print',
    'Least-privilege ACLs per role, made from the wiring: as kafka-acls.sh lines, or JSON. Asks no cluster.',
    [
      'millrace acls print --principal intake=User:CN=millrace-intake --principal producer=User:shop',
      'millrace acls print --json',
      'TOPIC_PREFIX=eu. millrace acls print > acls.sh',
    ],
  )
    .option(
      '--principal <role=principal>',
      `one role's principal; default User:millrace-<role>; repeat for more (${ROLES.join(', ')})`,
      principal,
    )
    .option('--dir <folder>', 'business configuration: its channels have topics', CONFIG_FOLDER)
    .option('--json', 'machine-readable')
    .action((options: Options) => {
      const prefix = cli.variables['TOPIC_PREFIX'] ?? '';
      const config = businessConfig(options.dir);
      const rules = aclRules({
        prefix,
        names: topicNames(prefix),
        table: tableOf(config, prefix),
        plan: plan({
          prefix,
          channels: config.channels.map((channel) => channel.name),
          tenantsWithOwnIngest: config.tenants
            .filter((tenant) => tenant.ownIngest)
            .map((tenant) => tenant.id),
          lanes: LANES,
        }),
      });
      const whoIs = (role: Role) => options.principal?.get(role) ?? `User:millrace-${role}`;
      if (options.json === true) {
        cli.printJson(rules.map((rule) => ({ ...rule, principal: whoIs(rule.role) })));
        return;
      }
      for (const role of ROLES) {
        cli.print(`# ${role}`);
        for (const rule of rules.filter((one) => one.role === role))
          cli.print(aclLine(rule, `'${whoIs(role)}'`));
      }
    });
