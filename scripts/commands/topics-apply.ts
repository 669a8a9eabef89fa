import cliProgress from 'cli-progress';
import type { Command } from 'commander';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { Unsuccessful } from '../cli/exit.js';
import { CONFIG_FOLDER, businessConfig, tableOf } from '../cli/installation.js';
import { withAdmin } from '../cli/kafka-admin.js';
import { integer } from '../cli/options.js';
import { alterTopics, clusterTopics, createTopics, replicationOf } from '../topics/cluster.js';
import type { TopicPlan } from '../topics/plan.js';
import { conflictAdvice, planTopics } from '../topics/plan.js';
import { DEFAULT_PARTITIONS } from '../../topologies/topic-table.js';

interface Options {
  readonly dryRun?: true;
  readonly alter?: true;
  readonly dir: string;
  readonly partitions: number;
  readonly replication?: number;
  readonly json?: true;
}

export const topicsApply = (cli: Cli): Command =>
  command(
    'apply',
    'Create the topics that are missing, and check the others against the table in code. Deletes nothing.',
    [
      'millrace topics apply --dry-run      # what would be done',
      'millrace topics apply                # create what is missing; drift makes it end with 1',
      'millrace topics apply --alter        # also set drifted settings right',
    ],
  )
    .option('--dry-run', 'show, change nothing')
    .option(
      '--alter',
      'set settings that differ from the table (shorter retention deletes records)',
    )
    .option('--dir <folder>', 'business configuration: its channels have topics', CONFIG_FOLDER)
    .option(
      '--partitions <n>',
      'of every topic; fixed once they exist',
      integer(1, 1_000),
      DEFAULT_PARTITIONS,
    )
    .option('--replication <n>', 'copies; default: 3, or all brokers if fewer', integer(1, 10))
    .option('--json', 'machine-readable')
    .action(async (options: Options) => {
      const { kafka } = cli.environment(['kafka']);
      const config = businessConfig(options.dir);
      await withAdmin(kafka, async (admin) => {
        const table = tableOf(config, kafka.prefix, {
          partitions: options.partitions,
          replicationFactor: options.replication ?? (await replicationOf(admin)),
        });
        const names = table.map((spec) => spec.name);
        const plan = planTopics(table, await clusterTopics(admin, names));
        const changes = options.dryRun !== true && plan.conflicts.length === 0;
        if (changes) {
          await withBar(cli, plan.missing.length, (onProgress) =>
            createTopics(admin, plan.missing, onProgress),
          );
          if (options.alter === true) await alterTopics(admin, plan.drift);
        }
        const settled = changes && options.alter === true;
        if (options.json === true) cli.printJson(machineReport(plan, changes, settled));
        else report(cli, plan, changes, settled);
        if (plan.conflicts.length > 0 || (plan.drift.length > 0 && !settled))
          throw new Unsuccessful();
      });
    });

const withBar = async (
  cli: Cli,
  total: number,
  run: (onProgress: (done: number) => void) => Promise<void>,
): Promise<void> => {
  if (total === 0) return;
  if (!cli.watched) return run(() => undefined);
  const bar = new cliProgress.SingleBar({
    format: 'topics {bar} {value}/{total}',
    clearOnComplete: true,
    stream: process.stderr,
  });
  bar.start(total, 0);
  try {
    await run((done) => {
      bar.update(done);
    });
  } finally {
    bar.stop();
  }
};

const machineReport = (plan: TopicPlan, changed: boolean, altered: boolean) => ({
  created: changed ? plan.missing.map((spec) => spec.name) : [],
  missing: changed ? [] : plan.missing.map((spec) => spec.name),
  altered: altered ? plan.drift : [],
  drift: altered ? [] : plan.drift,
  conflicts: plan.conflicts,
  unchanged: plan.unchanged.length,
});

const report = (cli: Cli, plan: TopicPlan, changed: boolean, altered: boolean): void => {
  for (const spec of plan.missing)
    cli.print(`${changed ? 'created' : 'missing'}  ${spec.name}  (${spec.partitions} partitions)`);
  for (const one of plan.drift)
    cli.print(
      `${altered ? 'altered' : 'differs'}  ${one.topic}  ${one.setting}: ${one.found} -> ${one.wanted}`,
    );
  if (plan.conflicts.length > 0)
    for (const line of conflictAdvice(plan.conflicts)) cli.print(`refused  ${line}`);
  cli.print(
    `${plan.unchanged.length} as they should be, ${plan.missing.length} ${changed ? 'created' : 'missing'}, ${plan.drift.length} ${altered ? 'altered' : 'differing'}, ${plan.conflicts.length} refused`,
  );
  if (plan.conflicts.length > 0) cli.print('Nothing was changed.');
  else if (plan.drift.length > 0 && !altered)
    cli.print('To set the differing settings: millrace topics apply --alter');
};
