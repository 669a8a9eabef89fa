import type { Command } from 'commander';
import { schemaDrift } from '../../schemas/registration.js';
import { schemaRegistry } from '../../schemas/registry.js';
import { topicSchemas } from '../../topologies/topic-table.js';
import { registerAll } from '../topics/register-all.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { CONFIG_FOLDER, businessConfig, tableOf } from '../cli/installation.js';

interface Options {
  readonly dryRun?: true;
  readonly dir: string;
  readonly json?: true;
}

export const schemasRegister = (cli: Cli): Command =>
  command(
    'register',
    "Register this release's schemas for every topic, with the contract's compatibility. Deletes nothing.",
    [
      'millrace schemas register --dry-run   # what the registry lacks',
      'millrace schemas register             # an incompatible schema is refused by the registry, and ends with 1',
    ],
  )
    .option('--dry-run', 'show, change nothing')
    .option('--dir <folder>', 'business configuration: its channels have topics', CONFIG_FOLDER)
    .option('--json', 'machine-readable')
    .action(async (options: Options) => {
      const { kafka, registry: address } = cli.environment(['kafka', 'registry']);
      const topics = topicSchemas(tableOf(businessConfig(options.dir), kafka.prefix));
      const registry = schemaRegistry(address);
      try {
        if (options.dryRun === true) {
          const drift = await schemaDrift(registry, topics);
          if (options.json === true) cli.printJson({ drift });
          for (const one of options.json === true ? [] : drift)
            cli.print(`${one.found}  ${one.subject}  ${one.detail}`);
          if (options.json !== true)
            cli.print(
              `${topics.length - drift.length} of ${topics.length} subjects as they should be`,
            );
          return;
        }
        const done = await registerAll(registry, topics);
        const added = done.filter((one) => one.added);
        if (options.json === true)
          cli.printJson({ registered: added, unchanged: done.length - added.length });
        else {
          for (const one of added) cli.print(`registered  ${one.subject}  id ${one.id}`);
          cli.print(`${added.length} registered, ${done.length - added.length} were there`);
        }
      } finally {
        await registry.close();
      }
    });
