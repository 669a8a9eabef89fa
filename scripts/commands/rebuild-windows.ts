import type { Command } from 'commander';
import { PipelineError } from '../../schemas/error.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import type { Cli } from '../cli/cli.js';
import { withCodecs } from '../cli/codecs.js';
import { command } from '../cli/command.js';
import { NotNow } from '../cli/exit.js';
import { withAdmin } from '../cli/kafka-admin.js';
import { pointInTime } from '../cli/options.js';
import { rebuildOptions } from '../rebuild/options.js';
import type { RebuildOptions } from '../rebuild/recorded-run.js';
import { runRecorded } from '../rebuild/recorded-run.js';
import { report } from '../rebuild/report.js';
import { planWindows } from '../rebuild/window-plan.js';
import { rebuildWindows } from '../rebuild/windows.js';
import { withPublished } from '../replay/installation.js';

interface Options extends RebuildOptions {
  readonly since?: number;
}

export const rebuildWindowsCommand = (cli: Cli): Command =>
  rebuildOptions(
    command(
      'windows',
      `Count the windows of topic \`windows\` from \`feedback\` (kept 14 days) again, by the same code as the workers, and
write the next revision of those that differ or are missing. Safe beside running workers: only windows that they have
closed and forgotten. The breaker does not judge by them. Without --apply it counts; after writing, they are read back.`,
      [
        'millrace rebuild windows                                             # how many differ',
        'millrace rebuild windows --since 6h --reason "windows were lost" --apply',
        'millrace rebuild windows --reason "counted wrong" --rate 20000 --apply',
        'millrace rebuild windows --apply --resume 0b7c6d1e-8f3a-4e55-9d6f-0c1d2e3f4a5b',
      ],
    ).option(
      '--since <time>',
      'windows that begin since then: 6h, 7d, or a time; default: all that feedback covers',
      pointInTime,
    ),
  ).action(async (options: Options) => {
    const environment = cli.environment(['kafka', 'registry', 'postgres']);
    const { kafka, registry } = environment;
    await withPublished(environment, async ({ names, table, config }) => {
      const specOf = (name: string) => {
        const found = table.find((spec) => spec.name === name);
        if (found === undefined) throw new PipelineError('defect', `${name} is not in the table`);
        return found;
      };
      const [feedback, windows] = [specOf(names.feedback), specOf(names.windows)];
      const { windowsPartials: partials, windowsMerging: merging } = names.internal;
      await withCodecs(registry, [feedback, windows], async (codecs) => {
        const found = await runRecorded(cli, environment, options, {
          command: 'rebuild windows',
          nothing: `${feedback.name} holds nothing${options.since === undefined ? '' : ` since ${new Date(options.since).toISOString()}; further back: --since 14d`}`,
          plan: async () => {
            const since = options.since ?? null;
            const settings = rdkafkaConnection(kafka);
            const plan = await withAdmin(kafka, (admin) =>
              planWindows({ admin, settings, feedback, partials, merging, since }),
            );
            if (plan.forgottenTo === 0)
              throw new NotNow(
                `no window is closed and forgotten by all of windows-merge (${merging}): its workers write those themselves; let them run for graceMs + retentionMs first`,
              );
            return plan;
          },
          part: (plan, _before, write, onProgress) =>
            rebuildWindows(
              {
                cli,
                kafka,
                codecs,
                config,
                feedback,
                windows,
                ...(options.rate !== undefined && { rate: options.rate }),
              },
              plan,
              write,
              onProgress,
            ),
        });
        report(cli, options, found, {
          windows: { dry: 'windows, of these:' },
          same: { dry: 'are as feedback says' },
          rewritten: { dry: 'differ', done: 'differed: next revision written' },
          missing: { dry: 'are missing', done: 'missing windows written' },
          open: { dry: 'are still open to the workers, and stay' },
          partly: { dry: 'are covered only in part, and stay' },
          less: { dry: 'say more than feedback holds, and stay' },
          otherwise: { dry: 'were counted otherwise (other length, no feedback), and stay' },
          unreadable: { dry: 'records of feedback cannot be read' },
        });
      });
    });
  });
