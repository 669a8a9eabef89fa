import { isRebuilt } from '../../processors/windows/rebuilt.js';
import { randomUUID } from 'node:crypto';
import type { Admin } from 'kafkajs';
import type { EpochMs } from '../../schemas/brand.js';
import type { ConfigKind } from '../../schemas/config.js';
import type { MessageDeduped } from '../../schemas/generated/records.js';
import { topicSchemas } from '../../topologies/topic-table.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import type { Environment } from '../../topologies/config.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import { readRange } from '../../topologies/runtime/range-reader.js';
import { partitionId } from '../../topologies/runtime/raw-record.js';
import type { ClientSettings } from '../../topologies/runtime/rdkafka-client.js';
import type { Cli } from '../cli/cli.js';
import { NotNow, UsageError } from '../cli/exit.js';
import { interruptible } from '../cli/interruption.js';
import type { Decoded } from '../read/decoded.js';
import { readDecoded } from '../read/decoded.js';
import { pass } from '../rebuild/pass.js';
import type { Span } from '../rebuild/spans.js';
import { sizeOf } from '../rebuild/spans.js';
import type { Bound } from '../replay/bounds.js';
import { resolveBounds } from '../replay/bounds.js';
import type { PublishedInstallation } from '../replay/installation.js';
import { rerunBreaker } from './breaker-rerun.js';
import { changedBusiness, publishedBusiness, tableOfBusiness } from './configuration.js';
import { shadowDecide, takenOf } from './decide.js';
import { Comparison } from './difference.js';
import type { Difference } from './difference.js';
import type { LevelSummary } from './levels.js';
import { LevelTimeline } from './levels.js';
import { ShadowOutputs, shadowTopics } from './outputs.js';

export interface ShadowOptions {
  readonly from: string;
  readonly since: Bound;
  readonly until: Bound | null;
  readonly policy: string;
  readonly outputs: boolean;
}

/** A scope of the breaker, as it was and as it would have been. */
export interface LevelDifference {
  readonly scope: string;
  readonly happened: Omit<LevelSummary, 'scope'>;
  readonly shadow: Omit<LevelSummary, 'scope'>;
}

export interface ShadowReport {
  readonly run: string;
  /** Files that differ from what is published. */
  readonly changed: readonly ConfigKind[];
  readonly range: readonly Span[];
  /** Records read; unreadable ones among them. */
  readonly read: number;
  readonly unreadable: number;
  readonly difference: Difference;
  /** null: the breaker's configuration is not changed, so that the levels are those of then. */
  readonly levels: readonly LevelDifference[] | null;
  /** Before this nothing is known of the breaker's levels (the topic is compacted): they count as open. */
  readonly levelsKnownSince: EpochMs | null;
  /** Where the decisions lie; null: nowhere. */
  readonly topics: readonly string[] | null;
}

/** Messages kept in memory until what happened to them is known, about 200 bytes each. */
const MOST = 2_000_000;
/** Decisions of one transaction differ by milliseconds; clocks and batches by little more. */
const SLACK_MS = 600_000;
/** Windows before the range that a rerun of the breaker begins with, so that it does not begin as if all were well. */
const WARM_UP_MS = 2 * 3_600_000;

const keyOf = ({ request, generation }: MessageDeduped): string =>
  `${request.tenantId}/${request.messageId}/${generation.toString()}`;

/** Reads a range twice: what was decided on, under the changed configuration; then what was decided then. */
export const runShadow = async (
  cli: Cli,
  admin: Admin,
  kafka: Environment['kafka'],
  { names, table, config: published, codecs }: PublishedInstallation,
  options: ShadowOptions,
): Promise<ShadowReport> => {
  const settings = rdkafkaConnection(kafka);
  const prefix = kafka.prefix;
  const { config, kinds } = changedBusiness(publishedBusiness(published), options.policy);
  const name = options.from.startsWith(prefix) ? options.from : prefix + options.from;
  const sources = table.filter(
    (spec) =>
      (spec.name === name || spec.name.startsWith(`${name}.`)) &&
      (spec.name.startsWith(`${prefix}deduped.`) || spec.name.startsWith(`${prefix}reserved.`)),
  );
  if (sources.length === 0)
    throw new UsageError(
      `--from ${options.from}: deduped (budget-reserve and route decide again) or reserved (route alone), or one of their lanes`,
    );
  const results = table.filter(
    (spec) => spec.name.startsWith(`${prefix}routed.`) || spec.name === names.refused,
  );
  const ofTable = (wanted: string): readonly TopicSpec[] =>
    table.filter((spec) => spec.name === wanted);
  const levelTopics = [
    ...ofTable(names.breakerLevels),
    ...ofTable(names.breakerCommands),
    ...ofTable(names.windows),
  ];
  await codecs.open(topicSchemas([...sources, ...results, ...levelTopics]));

  const range = (
    await resolveBounds(
      admin,
      sources.map((spec) => spec.name),
      options.since,
      options.until,
    )
  ).filter(({ from, to }) => from < to);
  if (sizeOf(range) === 0) throw new NotNow(`${options.from}: nothing in that range`);
  if (sizeOf(range) > MOST)
    throw new NotNow(
      `${sizeOf(range)} records in that range, more than ${MOST}: a shorter one, or one lane`,
    );

  const everything = async (topic: string): Promise<readonly Decoded[]> => {
    const all: Decoded[] = [];
    for await (const batch of readDecoded({ settings, codecs, topics: ofTable(topic), to: 'high' }))
      all.push(...batch);
    return all;
  };
  const happenedLevels = (await everything(names.breakerLevels)).flatMap(({ decoded }) =>
    decoded.is === 'BreakerLevel' ? [decoded.value] : [],
  );
  const [first, last] = await timesOf(settings, range);
  const shadowEvents = kinds.includes('breaker')
    ? rerunBreaker(
        (await everything(names.windows)).flatMap(({ decoded, headers }) =>
          decoded.is === 'ChannelWindow' &&
          !isRebuilt(headers) &&
          decoded.value.closedAt >= first - WARM_UP_MS &&
          decoded.value.closedAt <= last
            ? [decoded.value]
            : [],
        ),
        (await everything(names.breakerCommands)).flatMap(({ decoded }) =>
          decoded.is === 'BreakerCommand' ? [decoded.value] : [],
        ),
        tableOfBusiness(config),
        last,
      )
    : null;
  const happenedTimeline = new LevelTimeline(happenedLevels);
  const shadowTimeline = shadowEvents === null ? happenedTimeline : new LevelTimeline(shadowEvents);

  const run = randomUUID();
  const topics = shadowTopics(prefix, run);
  const outputs = options.outputs
    ? await ShadowOutputs.open(admin, settings, codecs, names, topics)
    : null;
  const comparison = new Comparison();
  const decide = shadowDecide(tableOfBusiness(config), shadowTimeline);
  let [read, unreadable] = [0, 0];
  try {
    await interruptible(async (signal) => {
      const over = (
        spans: readonly Span[],
        of: readonly TopicSpec[],
        handle: (batch: readonly Decoded[]) => Promise<void>,
      ) =>
        pass({
          cli,
          settings,
          codecs,
          topics: of,
          spans,
          signal,
          atOnce: 2_000,
          handle,
          onLeft: () => Promise.resolve(),
        });
      const decided = await over(range, sources, async (batch) => {
        const decisions = batch.flatMap((record) => {
          const taken = takenOf(record);
          if (taken === null) {
            unreadable += 1;
            return [];
          }
          const decision = decide(taken);
          comparison.shadow(keyOf(taken.deduped), decision);
          return [{ key: taken.deduped.key, decision }];
        });
        read += batch.length;
        await outputs?.decided(decisions);
      });
      if (!decided) throw new NotNow('interrupted');
      const then = await resolveBounds(
        admin,
        results.map((spec) => spec.name),
        { is: 'time', at: first - SLACK_MS },
        { is: 'time', at: last + SLACK_MS },
      );
      const compared = await over(then, results, (batch) => {
        for (const { decoded } of batch) happened(comparison, decoded, prefix);
        return Promise.resolve();
      });
      if (!compared) throw new NotNow('interrupted');
    });
    if (shadowEvents !== null) await outputs?.levels(shadowEvents);
  } finally {
    await outputs?.close();
  }
  return {
    run,
    changed: kinds,
    range,
    read,
    unreadable,
    difference: comparison.difference,
    levels:
      shadowEvents === null
        ? null
        : levelDifferences(
            happenedTimeline.summary(first, last),
            shadowTimeline.summary(first, last),
          ),
    levelsKnownSince: happenedLevels.reduce<EpochMs | null>(
      (least, { at }) => (least === null || at < least ? at : least),
      null,
    ),
    topics: outputs === null ? null : Object.values(topics),
  };
};

const happened = (comparison: Comparison, decoded: Decoded['decoded'], prefix: string): void => {
  if (decoded.is === 'MessageRouted')
    comparison.routed(keyOf(decoded.value.reserved.deduped), decoded.value);
  else if (decoded.is === 'MessageRefused') {
    const { tenantId, messageId, generation, source } = decoded.value;
    // Refused after it was routed: route's decision is the one that is compared.
    if (['routed.', 'retry.'].some((way) => source.topic.startsWith(prefix + way))) return;
    comparison.refused(
      `${tenantId ?? ''}/${messageId ?? ''}/${generation.toString()}`,
      decoded.value,
    );
  }
};

/** When the first and the last record of the range were written. Reads without decoding: a tenth of what follows. */
const timesOf = async (
  settings: ClientSettings,
  range: readonly Span[],
): Promise<readonly [EpochMs, EpochMs]> => {
  let [first, last] = [Infinity, -Infinity];
  for await (const batch of readRange({
    settings,
    topics: [],
    partitions: range.map(({ topic, partition }) => ({ topic, partition })),
    from: { offsets: new Map(range.map((span) => [partitionId(span), span.from])) },
    to: { ends: new Map(range.map((span) => [partitionId(span), span.to])) },
  }))
    for (const { timestamp } of batch) {
      first = Math.min(first, timestamp);
      last = Math.max(last, timestamp);
    }
  if (first > last) throw new NotNow('no record in that range, only transaction markers');
  return [first, last];
};

const levelDifferences = (
  happenedThen: readonly LevelSummary[],
  shadow: readonly LevelSummary[],
): readonly LevelDifference[] => {
  const none = { changes: 0, loweredMs: 0, lowestRateFactor: 1 };
  const of = (all: readonly LevelSummary[], scope: string): Omit<LevelSummary, 'scope'> => {
    const found = all.find((one) => one.scope === scope);
    if (found === undefined) return none;
    const { changes, loweredMs, lowestRateFactor } = found;
    return { changes, loweredMs, lowestRateFactor };
  };
  return [...new Set([...happenedThen, ...shadow].map(({ scope }) => scope))]
    .sort()
    .map((scope) => ({ scope, happened: of(happenedThen, scope), shadow: of(shadow, scope) }));
};
