import type { Command } from 'commander';
import { schemaRegistry } from '../../schemas/registry.js';
import { openCodecs } from '../../schemas/topic-codecs.js';
import { topicNames } from '../../topologies/topic-names.js';
import { recorded, withActions } from '../actions/recorded.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { CONFIG_FOLDER, businessConfig } from '../cli/installation.js';
import { withAdmin } from '../cli/kafka-admin.js';
import type { KindChange } from '../config/apply.js';
import { applyLedger, changesOf, publishConfig } from '../config/apply.js';
import { publishedConfig } from '../config/published.js';

interface Options {
  readonly dir: string;
  readonly dryRun?: true;
  readonly reason?: string;
  readonly json?: true;
}

export const configApply = (cli: Cli): Command =>
  command(
    'apply',
    'Check the business configuration, open new accounts with their initial budgets, and publish what changed.',
    [
      'millrace config apply --dry-run              # check, and show the difference to what workers follow now',
      'millrace config apply --dir infra/config     # running workers follow within a second',
      'millrace topics apply && millrace schemas register && millrace config apply    # after adding a channel',
    ],
  )
    .option('--dir <folder>', 'the YAML files', CONFIG_FOLDER)
    .option('--dry-run', 'show, change nothing')
    .option('--reason <text>', 'why; kept in the record of actions')
    .option('--json', 'machine-readable')
    .action(async (options: Options) => {
      const config = businessConfig(options.dir);
      const {
        kafka,
        registry: address,
        postgres,
      } = cli.environment(['kafka', 'registry', 'postgres']);
      await withAdmin(kafka, () => Promise.resolve());
      const registry = schemaRegistry(address);
      try {
        const codecs = await openCodecs(registry, [
          { topic: topicNames(kafka.prefix).config, record: 'ConfigEntry' },
        ]);
        const changes = changesOf(config, await publishedConfig(kafka, codecs));
        const apply = options.dryRun !== true;
        // Accounts first: a tenant that is published without one would have its messages refused.
        const ledger = apply ? await applyLedger(postgres, config) : undefined;
        if (apply && changes.length > 0)
          await withActions(postgres, (actions) =>
            recorded(
              actions,
              {
                command: 'config apply',
                reason: options.reason ?? 'not given',
                what: { dir: options.dir, changes: changes.map(placesOf) },
              },
              async () => {
                await publishConfig(
                  kafka,
                  codecs,
                  config,
                  changes.map((change) => change.kind),
                );
                return {
                  state: 'done',
                  outcome: { granted: ledger?.granted ?? 0, quotas: ledger?.quotas ?? 0 },
                };
              },
            ),
          );
        if (options.json === true)
          cli.printJson({
            dryRun: !apply,
            changes,
            granted: ledger?.granted ?? 0,
            quotas: ledger?.quotas ?? 0,
          });
        else report(cli, changes, apply, ledger);
      } finally {
        await registry.close();
      }
    });

/** What changed, without the values: settings may hold what is nobody's business. */
const placesOf = ({ kind, added, differences }: KindChange) => ({
  kind,
  added,
  paths: differences.map(({ path }) => path),
});

const shown = (value: unknown): string =>
  value === undefined ? '' : JSON.stringify(value).slice(0, 100);

const report = (
  cli: Cli,
  changes: readonly KindChange[],
  applied: boolean,
  ledger: Awaited<ReturnType<typeof applyLedger>> | undefined,
): void => {
  for (const change of changes) {
    if (change.added) {
      cli.print(`+ ${change.kind}`);
      continue;
    }
    cli.print(`~ ${change.kind}`);
    for (const { path, before, after } of change.differences) {
      if (before !== undefined) cli.print(`  - ${path}: ${shown(before)}`);
      if (after !== undefined) cli.print(`  + ${path}: ${shown(after)}`);
    }
  }
  if (changes.length === 0) cli.print('Nothing differs from what is published.');
  else cli.print(`${changes.length} ${applied ? 'published' : 'would be published'}`);
  if (ledger === undefined) return;
  if (ledger.migrations.length > 0) cli.print(`tables: ${ledger.migrations.join(', ')}`);
  cli.print(`${ledger.granted} accounts opened with their initial budgets`);
  if (ledger.quotas > 0) cli.print(`${ledger.quotas} quotas set, changed or lifted`);
};
