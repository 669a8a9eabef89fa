import type { Command } from 'commander';
import { laneOf } from '../../processors/lane.js';
import { DEDUPE_SPAN_MS } from '../../processors/dedupe/span.js';
import { PipelineError } from '../../schemas/error.js';
import { LANES } from '../../schemas/generated/records.js';
import { connectRedis } from '../../sinks/redis/client.js';
import { redisError } from '../../sinks/redis/redis-error.js';
import { firstSeenRestorer } from '../../sinks/redis/restore-first-seen.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import { groupOf } from '../../topologies/runtime/worker.js';
import { topicNames } from '../../topologies/topic-names.js';
import type { Cli } from '../cli/cli.js';
import { withCodecs } from '../cli/codecs.js';
import { command } from '../cli/command.js';
import { businessConfig, tableOf } from '../cli/installation.js';
import { withAdmin } from '../cli/kafka-admin.js';
import type { FolderOption } from '../rebuild/options.js';
import { folderOption, rebuildOptions } from '../rebuild/options.js';
import { keylessSince, redisCheck, redisHandler } from '../rebuild/redis.js';
import type { Keyless } from '../rebuild/redis.js';
import type { RebuildOptions } from '../rebuild/recorded-run.js';
import { report } from '../rebuild/report.js';
import { runRebuild } from '../rebuild/run.js';
import { spansSince, takenBy } from '../rebuild/spans.js';

/** Redis may be loading, or busy with what it missed. */
const COMMAND_MS = 10_000;

export const rebuildRedis = (cli: Cli): Command =>
  folderOption(
    rebuildOptions(
      command(
        'redis',
        `Put back what dedupe keeps in Redis: who brought each idempotency key first, within the last 24 h, with the same
coordinates. From ingest, as far as intake has committed, less what \`refused\` says holds no key. Safe beside running
workers: an entry that is there is never touched. Without --apply it counts what is missing.`,
        [
          'millrace rebuild redis                                                  # how much is missing',
          'millrace rebuild redis --reason "Redis was lost at 14:05" --apply',
          'millrace rebuild redis --reason "Redis was lost" --rate 20000 --apply   # gently',
          'millrace rebuild redis --apply --resume 0b7c6d1e-8f3a-4e55-9d6f-0c1d2e3f4a5b',
        ],
      ),
    ),
  ).action(async (options: RebuildOptions & FolderOption) => {
    const environment = cli.environment(['kafka', 'registry', 'redis', 'postgres']);
    const { kafka, registry } = environment;
    const names = topicNames(kafka.prefix);
    const table = tableOf(businessConfig(options.dir), kafka.prefix);
    const again = new Set(LANES.map((lane) => names.again('dedupe', lane)));
    const ingest = table.filter(
      ({ name, record }) => record === 'MessageRequest' && !again.has(name),
    );
    const refused = table.find(({ name }) => name === names.refused);
    if (refused === undefined) throw new PipelineError('defect', 'refused is not in the table');
    const redis = connectRedis({ ...environment.redis, commandTimeoutMs: COMMAND_MS });
    try {
      await withAdmin(kafka, async (admin) => {
        await redis.connect().catch((cause: unknown) => {
          throw redisError(cause);
        });
        const restorer = firstSeenRestorer(redis, kafka.prefix);
        await withCodecs(registry, [...ingest, refused], async (codecs) => {
          let loading: Promise<Keyless> | undefined;
          const since = Date.now() - DEDUPE_SPAN_MS;
          const found = await runRebuild(cli, environment, options, {
            command: 'rebuild redis',
            topics: ingest,
            codecs,
            nothing:
              'intake has taken nothing from ingest within the last 24 h: there is nothing to put back',
            plan: async () => {
              const all = await spansSince(
                admin,
                ingest.map(({ name }) => name),
                since,
              );
              const taken = await Promise.all(
                LANES.map((lane) =>
                  takenBy(
                    admin,
                    groupOf(kafka.prefix, `intake.${lane}`),
                    all.filter(({ topic }) => laneOf(topic) === lane),
                  ),
                ),
              );
              return taken.flat();
            },
            // After the range is known: what it holds is refused by then, if it is.
            handle: redisHandler(restorer, () => {
              loading ??= keylessSince(rdkafkaConnection(kafka), codecs, refused, since);
              return loading;
            }),
            check: redisCheck(restorer),
          });
          report(cli, options, found, {
            absent: { dry: 'keys are missing', done: 'keys put back' },
            same: { dry: 'are there' },
            others: { dry: 'are held by another record, and stay' },
            refused: { dry: 'were refused and hold no key' },
            expired: { dry: 'have expired' },
            unreadable: { dry: 'are no requests' },
          });
        });
      });
    } finally {
      redis.disconnect();
    }
  });
