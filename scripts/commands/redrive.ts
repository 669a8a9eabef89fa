import { type Command, Option } from 'commander';
import type { ParkedWhy, RefusalReason } from '../../schemas/generated/records.js';
import type { Lane } from '../../schemas/generated/records.js';
import { PARKED_WHYS, REFUSAL_REASONS } from '../../schemas/generated/records.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import { topicSchemas } from '../../topologies/topic-table.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { UsageError } from '../cli/exit.js';
import { lane } from '../cli/options.js';
import type { Care } from '../redrive/candidate.js';
import { deadLetterSelect } from '../redrive/dead-letters.js';
import { Originals } from '../redrive/fetch.js';
import { parkedSelect } from '../redrive/parked.js';
import { refusedSelect } from '../redrive/refused.js';
import type { Bound } from '../replay/bounds.js';
import { bound } from '../replay/bounds.js';
import { duration, recoveryOptions } from '../replay/options.js';
import { report } from '../replay/report.js';
import type { RecoveryOptions, RecoveryPlan, Surroundings } from '../replay/run.js';
import { runRecovery } from '../replay/run.js';
import { isReplayable } from '../replay/source.js';
import { WHERE_HELP, whereOf } from '../replay/where.js';

const SOURCES = ['dead-letters', 'refused', 'parked'] as const;
type Source = (typeof SOURCES)[number];

/** Parked messages wait for up to 30 d. */
const SINCE: Readonly<Record<Source, string>> = {
  'dead-letters': '24h',
  refused: '24h',
  parked: '35d',
};

interface Options extends RecoveryOptions {
  readonly from?: Source;
  readonly why?: string;
  readonly tenant?: string;
  readonly code?: string;
  readonly lane?: Lane;
  readonly since?: Bound;
  readonly until?: Bound;
  readonly where?: string;
  readonly includeExpired?: true;
  readonly expiresIn?: number;
  readonly includeAmbiguous?: true;
}

/** What a run needs to be taken up again, as it is recorded. */
interface Asked {
  readonly from: Source;
  readonly why: string | null;
  readonly tenant: string | null;
  readonly code: string | null;
  readonly lane: Lane | null;
  readonly where: string | null;
  readonly expiresInMs: number | null;
  readonly includeAmbiguous: boolean;
}

export const redrive = (cli: Cli): Command =>
  recoveryOptions(
    command(
      'redrive',
      `Bring back what did not go on: refused messages and dead letters under the next generation, parked ones by
releasing them. Budget is reserved anew. Left where they are, and counted: what has expired, what may have arrived
(an ambiguous time-out), what was delivered since, duplicates. Without --apply it only reads, counts and prices.`,
      [
        'millrace redrive --from refused --why budget_cash --since 2h               # what would happen',
        'millrace redrive --from refused --why budget_cash --since 2h --reason "topped up" --apply',
        'millrace redrive --from dead-letters --code unknown_schema --reason "registered" --apply',
        'millrace redrive --from parked --why hold --tenant acme --rate 100/s --reason "cleared" --apply',
        `millrace redrive --from refused --why expired --include-expired --expires-in 6h \\
      --where 'request.attribute == "transactional"' --reason "still wanted" --apply`,
      ],
    )
      .addOption(new Option('--from <source>', 'what to bring back').choices(SOURCES))
      .option('--why <reason>', 'refused: only this reason; parked: only this why')
      .option('--code <code>', 'dead-letters: only this error code')
      .option('--tenant <id>', "only this tenant's")
      .option('--lane <lane>', 'only this lane', lane)
      .option(
        '--since <bound>',
        'when it was refused, dead-lettered or parked; default 24h, parked: all',
        bound,
      )
      .option('--until <bound>', 'end, exclusive; default: what is there now', bound)
      .option('--where <cel>', 'only messages for which it holds')
      .option('--include-expired', 'expired messages too, with more time: --expires-in')
      .option(
        '--expires-in <duration>',
        'with --include-expired: time they get from now; default 72h',
        duration,
      )
      .option('--include-ambiguous', 'messages that may have arrived too: some will arrive twice')
      .addHelpText('after', `\n${WHERE_HELP}`),
  ).action(async (options: Options) => {
    const found = await runRecovery<Asked>(cli, options, {
      name: 'redrive',
      asked: askedOf(options),
      since: options.since ?? bound(SINCE[options.from ?? 'refused']),
      until: options.until ?? null,
      plan: planOf,
    });
    report(cli, options, found, WORDS);
  });

const WORDS = {
  final: 'are duplicates, or were cancelled or suppressed: never redriven',
  gone: 'are no longer held by the topic they were written to',
  elsewhere: 'are no messages (receipts, feedback): see the runbook poison-record',
  undecodable: 'still cannot be decoded: left where they are',
  scheduled: 'wait for a time, and come by themselves then',
  expired: 'have expired: --include-expired',
  delivered: 'were delivered since, or are under way',
  ambiguous: 'may have arrived already: --include-ambiguous',
} as const;

const CLOSED: ReadonlySet<string> = new Set([...REFUSAL_REASONS, ...PARKED_WHYS]);

const ALLOWED_WITH_RESUME: ReadonlySet<string> = new Set([
  'resume',
  'apply',
  'rate',
  'reason',
  'json',
] satisfies (keyof Options)[]);

const isOneOf = <T extends string>(list: readonly T[], text: string): text is T =>
  (list as readonly string[]).includes(text);

/** @throws UsageError for options that do not go together */
const askedOf = (options: Options): Asked => {
  const { from, why, code, reason } = options;
  if (reason !== undefined && CLOSED.has(reason))
    throw new UsageError(
      `--reason is why you do it, kept in the record of actions. To choose by reason: --why ${reason}`,
    );
  if (options.resume !== undefined) {
    if (Object.keys(options).some((name) => !ALLOWED_WITH_RESUME.has(name)))
      throw new UsageError('--resume goes on with what was recorded: no source, range or filter');
    if (options.apply !== true) throw new UsageError('--resume goes on writing: add --apply');
  } else if (from === undefined)
    throw new UsageError(`say what to bring back: --from ${SOURCES.join(', ')}`);
  const whys: readonly (RefusalReason | ParkedWhy)[] =
    from === 'refused' ? REFUSAL_REASONS : from === 'parked' ? PARKED_WHYS : [];
  if (why !== undefined && !isOneOf(whys, why))
    throw new UsageError(
      whys.length === 0
        ? 'dead letters have an error code: --code'
        : `--why ${why}: one of ${whys.join(', ')}`,
    );
  if (code !== undefined && from !== 'dead-letters')
    throw new UsageError('--code is of dead letters; refusals and parked messages: --why');
  if (options.expiresIn !== undefined && options.includeExpired !== true)
    throw new UsageError('--expires-in says how long expired ones live: add --include-expired');
  return {
    from: from ?? 'refused',
    why: why ?? null,
    tenant: options.tenant ?? null,
    code: code ?? null,
    lane: options.lane ?? null,
    where: options.where ?? null,
    expiresInMs: options.includeExpired === true ? (options.expiresIn ?? 72 * 3_600_000) : null,
    includeAmbiguous: options.includeAmbiguous === true,
  };
};

const planOf = async (
  asked: Asked,
  { environment, installation, recovery }: Surroundings,
): Promise<RecoveryPlan> => {
  const { table, names, codecs } = installation;
  const care = (topics: readonly TopicSpec[], next: boolean): Care => ({
    tenant: asked.tenant,
    where: whereOf(asked.where ?? undefined, topics[0]?.record ?? null),
    expiresInMs: asked.expiresInMs,
    includeAmbiguous: asked.includeAmbiguous,
    next,
  });
  const named = (...wanted: readonly string[]): readonly TopicSpec[] =>
    table.filter(({ name }) => wanted.includes(name));
  if (asked.from === 'parked') {
    const topics = table.filter(({ record }) => record === 'Parked');
    return {
      topics,
      generation: 'same',
      select: parkedSelect(asked, care(topics, false), recovery),
    };
  }
  // What they point at lies on any topic of the way.
  await codecs.open(
    topicSchemas(table.filter(({ record }) => isReplayable(record) || record === 'Parked')),
  );
  const originals = new Originals(rdkafkaConnection(environment.kafka));
  const sources = { originals, table, codecs, recovery };
  const topics = named(asked.from === 'refused' ? names.refused : names.deadLetters);
  return {
    topics,
    generation: 'next',
    select:
      asked.from === 'refused'
        ? refusedSelect(asked, care(topics, true), sources)
        : deadLetterSelect(asked, care(topics, true), sources),
    close: () => originals.close(),
  };
};
