import type { Command } from 'commander';
import { topicNames } from '../../topologies/topic-names.js';
import type { Cli } from '../cli/cli.js';
import { withCodecs } from '../cli/codecs.js';
import { command } from '../cli/command.js';
import { businessConfig, tableOf } from '../cli/installation.js';
import { withAdmin } from '../cli/kafka-admin.js';
import { pointInTime } from '../cli/options.js';
import { influxCheck, influxHandler } from '../rebuild/influx.js';
import type { FolderOption } from '../rebuild/options.js';
import { folderOption, rebuildOptions } from '../rebuild/options.js';
import type { RebuildOptions } from '../rebuild/recorded-run.js';
import { report } from '../rebuild/report.js';
import { runRebuild } from '../rebuild/run.js';
import { spansSince } from '../rebuild/spans.js';

interface Options extends RebuildOptions, FolderOption {
  readonly since?: number;
}

export const rebuildInflux = (cli: Cli): Command =>
  folderOption(
    rebuildOptions(
      command(
        'influx',
        `Write the windows of topic \`windows\` (kept 30 days) and the breaker's levels into InfluxDB again. A point is
overwritten only by the same or a later revision of its window, so that it is safe beside running workers. Without
--apply it counts what is missing or older than in the topic; after writing, every point is read back.`,
        [
          'millrace rebuild influx                                             # how much is missing',
          'millrace rebuild influx --since 6h --reason "disk was full" --apply',
          'millrace rebuild influx --reason "new bucket" --rate 2000 --apply',
          'millrace rebuild influx --apply --resume 0b7c6d1e-8f3a-4e55-9d6f-0c1d2e3f4a5b',
        ],
      ).option(
        '--since <time>',
        'windows written to the topic since then: 6h, 7d, or a time; default: all it holds',
        pointInTime,
      ),
    ),
  ).action(async (options: Options) => {
    const environment = cli.environment(['kafka', 'registry', 'influx', 'postgres']);
    const { kafka, registry } = environment;
    const names = topicNames(kafka.prefix);
    const topics = tableOf(businessConfig(options.dir), kafka.prefix).filter(
      ({ name }) => name === names.windows || name === names.breakerLevels,
    );
    await withAdmin(kafka, (admin) =>
      withCodecs(registry, topics, async (codecs) => {
        const found = await runRebuild(cli, environment, options, {
          command: 'rebuild influx',
          topics,
          codecs,
          nothing: `${names.windows} and ${names.breakerLevels} hold nothing${options.since === undefined ? '' : ` since ${new Date(options.since).toISOString()}; further back: --since 30d`}`,
          plan: () =>
            spansSince(
              admin,
              topics.map(({ name }) => name),
              options.since ?? null,
            ),
          handle: influxHandler(environment.influx),
          check: influxCheck,
        });
        report(cli, options, found, {
          missing: { dry: 'windows are missing', done: 'missing windows written' },
          older: { dry: 'are there in an older revision', done: 'older revisions overwritten' },
          current: { dry: 'are there' },
          superseded: { dry: 'are earlier revisions of these' },
          levels: {
            dry: "are changes of the breaker's levels, not compared",
            done: "of the breaker's levels written",
          },
          unreadable: { dry: 'cannot be read' },
        });
      }),
    );
  });
