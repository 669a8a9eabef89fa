import type { Command } from 'commander';
import type { AclCommandOptions } from '../acls/options.js';
import { rulesOf, withAclOptions } from '../acls/options.js';
import { ROLES, aclLine } from '../acls/roles.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';

interface Options extends AclCommandOptions {
  readonly json?: true;
}

export const aclsPrint = (cli: Cli): Command =>
  withAclOptions(
    command(
      'print',
      'Least-privilege ACLs per role, made from the wiring: as kafka-acls.sh lines, or JSON. Asks no cluster.',
      [
        'millrace acls print --principal intake=User:CN=millrace-intake --principal producer=User:shop',
        'millrace acls print --json',
        'TOPIC_PREFIX=eu. millrace acls print > acls.sh',
      ],
    ),
  )
    .option('--json', 'machine-readable')
    .action((options: Options) => {
      const { rules, principalOf } = rulesOf(cli.variables['TOPIC_PREFIX'] ?? '', options);
      if (options.json === true) {
        cli.printJson(rules.map((rule) => ({ ...rule, principal: principalOf(rule.role) })));
        return;
      }
      for (const role of ROLES) {
        cli.print(`# ${role}`);
        for (const rule of rules.filter((one) => one.role === role))
          cli.print(aclLine(rule, `'${principalOf(role)}'`));
      }
    });
