import type { Command } from 'commander';
import { aclEntries, createEntries, missingEntries } from '../acls/apply.js';
import type { AclCommandOptions } from '../acls/options.js';
import { rulesOf, withAclOptions } from '../acls/options.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { withAdmin } from '../cli/kafka-admin.js';

interface Options extends AclCommandOptions {
  readonly dryRun?: true;
}

export const aclsApply = (cli: Cli): Command =>
  withAclOptions(
    command(
      'apply',
      'Add the rules of acls print that the cluster lacks; takes none away. Needs a principal that may alter the cluster.',
      ['millrace acls apply --dry-run', 'millrace acls apply --principal producer=User:shop'],
    ),
  )
    .option('--dry-run', 'count, change nothing')
    .action(async (options: Options) => {
      const { kafka } = cli.environment(['kafka']);
      const { rules, principalOf } = rulesOf(kafka.prefix, options);
      const entries = aclEntries(rules, principalOf);
      const missing = await withAdmin(kafka, async (admin) => {
        const found = await missingEntries(admin, entries);
        if (options.dryRun !== true) await createEntries(admin, found);
        return found;
      });
      cli.print(
        `${missing.length} rules ${options.dryRun === true ? 'would be added' : 'added'}, ${entries.length - missing.length} were there`,
      );
    });
