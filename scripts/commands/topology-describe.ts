import type { Command } from 'commander';
import type { Lane } from '../../schemas/generated/records.js';
import { LANES } from '../../schemas/generated/records.js';
import { asMermaid, asText } from '../../topologies/describe.js';
import { plan } from '../../topologies/plan.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { CONFIG_FOLDER, businessConfig } from '../cli/installation.js';
import { lane } from '../cli/options.js';

interface Options {
  readonly mermaid?: true;
  readonly json?: true;
  readonly lane?: Lane;
  readonly dir: string;
}

export const topologyDescribe = (cli: Cli): Command =>
  command(
    'describe',
    'What is wired to what: stages, the topics they read and write, their state and tables. Asks no cluster.',
    [
      'millrace topology describe --lane p0            # one lane; the others are the same',
      'millrace topology describe --lane p0 --mermaid > topology.mmd',
    ],
  )
    .option('--lane <lane>', 'only this lane of intake and send', lane)
    .option('--mermaid', 'a Mermaid flow chart')
    .option('--dir <folder>', 'business configuration: its channels have topics', CONFIG_FOLDER)
    .option('--json', 'machine-readable')
    .action((options: Options) => {
      const config = businessConfig(options.dir);
      const tasks = plan({
        prefix: cli.variables['TOPIC_PREFIX'] ?? '',
        channels: config.channels.map((channel) => channel.name),
        tenantsWithOwnIngest: config.tenants
          .filter((tenant) => tenant.ownIngest)
          .map((tenant) => tenant.id),
        lanes: options.lane === undefined ? LANES : [options.lane],
      });
      if (options.json === true) cli.printJson(tasks);
      else cli.print(options.mermaid === true ? asMermaid(tasks) : asText(tasks));
    });
