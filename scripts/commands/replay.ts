import type { Command } from 'commander';
import { PipelineError } from '../../schemas/error.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import type { AgainStage } from '../../topologies/topic-names.js';
import { TakenOffsets } from '../../topologies/taken-offsets.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { UsageError } from '../cli/exit.js';
import type { Bound } from '../replay/bounds.js';
import { bound } from '../replay/bounds.js';
import { againStage, recoveryOptions } from '../replay/options.js';
import { report } from '../replay/report.js';
import type { RecoveryOptions } from '../replay/run.js';
import { runRecovery } from '../replay/run.js';
import { RefusedRecords, untilStable } from '../replay/refused.js';
import type { Ends } from '../replay/select.js';
import { replaySelect } from '../replay/select.js';
import { sourceTopics, targetStage } from '../replay/source.js';
import { WHERE_HELP, whereOf } from '../replay/where.js';

interface Options extends RecoveryOptions {
  readonly from?: string;
  readonly since?: Bound;
  readonly until?: Bound;
  readonly to?: AgainStage;
  readonly where?: string;
  readonly again?: true;
}

/** What a run needs to be taken up again, as it is recorded. */
interface Asked {
  readonly from: string;
  readonly to: AgainStage | null;
  readonly where: string | null;
  readonly again: boolean;
  /** How far back refusals are read: milliseconds since the epoch; null: all there are. */
  readonly refusedSince: number | null;
}

export const replay = (cli: Cli): Command =>
  recoveryOptions(
    command(
      'replay',
      `Read a range of a topic again and put it back into a stage, through again.*: what was done already is left alone
and counted, what was lost goes on. Without --apply it reads, counts and prices, and writes nothing.`,
      [
        'millrace replay --from ingest --since 24h --to dedupe                    # what would happen',
        'millrace replay --from ingest --since 24h --to dedupe --reason "ledger restored" --apply',
        `millrace replay --from deduped.p1 --since 2026-01-31T08:00Z --until 2026-01-31T09:00Z --to budget-reserve \\
      --where 'request.tenantId == "acme"' --rate 500/s`,
        'millrace replay --from ingest.p2 --since 0:4711,1:4690 --until 0:5000,1:5000',
        'millrace replay --apply --resume 0b7c6d1e-8f3a-4e55-9d6f-0c1d2e3f4a5b',
        `millrace replay --from deduped.p1 --since 1h --where 'request.campaignId == "spring"' \\
      --again --reason "carrier lost them, they confirm" --apply                  # delivers again`,
      ],
    )
      .option(
        '--from <topic>',
        'ingest, deduped, reserved, routed.<channel>, retry: all lanes, or one (ingest.p1)',
      )
      .option('--since <bound>', 'first record: 24h, a time, an offset, or 0:4711,2:4700', bound)
      .option('--until <bound>', 'end, exclusive; default: what is there now', bound)
      .option(
        '--to <stage>',
        "dedupe, budget-reserve, route or send; default: the topic's own",
        againStage,
      )
      .option('--where <cel>', 'only records for which it holds')
      .option('--again', 'deliver again what was delivered: the next generation, paid for anew')
      .addHelpText('after', `\n${WHERE_HELP}`),
  ).action(async (options: Options) => {
    const { from, since, until, to, where, again } = options;
    if (options.resume !== undefined) {
      if ([from, since, until, to, where, again].some((one) => one !== undefined))
        throw new UsageError('--resume goes on with what was recorded: no range, stage or filter');
      if (options.apply !== true) throw new UsageError('--resume goes on writing: add --apply');
    } else if (from === undefined || since === undefined)
      throw new UsageError('say what to replay: --from <topic> --since <time or offset>');
    const found = await runRecovery<Asked>(cli, options, {
      name: 'replay',
      asked: {
        from: from ?? '',
        to: to ?? null,
        where: where ?? null,
        again: again === true,
        // A record is refused after it was written.
        refusedSince: since?.is === 'time' ? since.at : null,
      },
      since: since ?? { is: 'offset', offset: 0 },
      until: until ?? null,
      plan: (asked, { environment, installation }) => {
        const { table, names, codecs } = installation;
        const { kafka } = environment;
        const topics = sourceTopics(table, names, kafka.prefix, asked.from);
        const stage = targetStage(topics, asked.to ?? undefined);
        const where = whereOf(asked.where ?? undefined, topics[0]?.record ?? null);
        const settings = rdkafkaConnection(kafka);
        let ends: Ends | null = null;
        return Promise.resolve({
          topics,
          generation: asked.again ? 'next' : 'same',
          begin: async (range) => {
            const taken = new TakenOffsets({ client: settings, prefix: kafka.prefix });
            await taken.lookUp(range);
            await untilStable(settings, range);
            const { refusedSince } = asked;
            const refused = await RefusedRecords.load(settings, codecs, table, refusedSince);
            ends = { taken, refused };
          },
          select: replaySelect(stage, where, () => {
            if (ends === null) throw new PipelineError('defect', 'the replay did not begin');
            return ends;
          }),
        });
      },
    });
    report(cli, options, found);
  });
