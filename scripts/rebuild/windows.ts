import type { ConfigTable } from '../../processors/configuration.js';
import { windowsOf } from '../../processors/configuration.js';
import { ownTenants } from '../../processors/windows/own-tenants.js';
import { REBUILT_HEADERS } from '../../processors/windows/rebuilt.js';
import { partitionKey } from '../../processors/windows/series.js';
import type { EpochMs } from '../../schemas/brand.js';
import type { ChannelWindow } from '../../schemas/generated/records.js';
import type { Codecs } from '../../schemas/topic-codecs.js';
import type { KafkaEnvironment } from '../../topologies/config.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import { partitionId } from '../../topologies/runtime/raw-record.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import type { Cli } from '../cli/cli.js';
import { interruptible } from '../cli/interruption.js';
import { withAdmin } from '../cli/kafka-admin.js';
import { pacer } from '../produce/pace.js';
import { RequestProducer } from '../produce/request-producer.js';
import { readDecoded } from '../read/decoded.js';
import { sum } from '../replay/figures.js';
import type { Figures } from '../replay/figures.js';
import { pass } from './pass.js';
import type { PartOutcome, Progress } from './recorded-run.js';
import type { Span } from './spans.js';
import { spansSince } from './spans.js';
import { compareWindows, keyOf, sameContent } from './window-compare.js';
import { WindowFold } from './window-fold.js';
import type { Block, WindowPlan } from './window-plan.js';
import { blocksOf, spansOfWindows } from './window-plan.js';

export interface WindowsRebuild {
  readonly cli: Cli;
  readonly kafka: KafkaEnvironment;
  readonly codecs: Codecs;
  readonly config: ConfigTable;
  readonly feedback: TopicSpec;
  readonly windows: TopicSpec;
  /** Records a second at most, read and written; absent: as fast as it goes. */
  readonly rate?: number;
}

type Written = ReadonlyMap<string, ChannelWindow>;

/** Also how long a broker may be away. */
const STALL_MS = 60_000;

/**
 * Derives the windows of the plan's range from feedback, block by block, and writes what the topic lacks. A part always
 * begins anew: what an earlier one wrote is the same by then.
 */
export const rebuildWindows = async (
  work: WindowsRebuild,
  plan: WindowPlan,
  write: boolean,
  onProgress: (progress: Progress) => Promise<void>,
): Promise<PartOutcome> => {
  const { lengthMs, maxTenants } = windowsOf(work.config);
  const fold = new WindowFold(lengthMs);
  const own = ownTenants(work.config, maxTenants);
  const alive = () => onProgress({ left: plan.range, figures: {} });
  let figures: Figures = {};

  const settle = async (block: Block, signal: AbortSignal): Promise<void> => {
    const held = await heldIn(work, plan, block);
    const compared = compareWindows({
      ...plan,
      partials: fold.take(block.from),
      held,
      own,
      lengthMs,
      now: Date.now(),
    });
    // Not counted either: its windows are written by the run that goes on.
    if (signal.aborted) return;
    const looked = Object.values(compared.figures).reduce((all, count) => all + count, 0);
    figures = sum(figures, { windows: looked, ...compared.figures });
    if (!write || compared.toWrite.length === 0) return;
    const from = await writeWindows(work, compared.toWrite);
    const right = await countRight(work, from, compared.toWrite);
    figures = sum(figures, { wrong: compared.toWrite.length - right });
    await alive();
  };

  const finished = await interruptible(async (signal) => {
    const blocks = await withAdmin(work.kafka, (admin) =>
      blocksOf(admin, work.feedback.name, plan.range),
    );
    for (const block of blocks) {
      const whole = await countFeedback(work, block, fold, signal, alive, (more) => {
        figures = sum(figures, more);
      });
      if (!whole) return false;
      await settle(block, signal);
      if (signal.aborted) return false;
    }
    return true;
  });
  const { wrong = 0 } = figures;
  return {
    finished,
    figures,
    problems:
      wrong === 0
        ? []
        : [`${wrong} windows are not in ${work.windows.name} as they were written: run it again`],
  };
};

const countFeedback = (
  { cli, kafka, codecs, feedback, rate }: WindowsRebuild,
  { spans }: Block,
  fold: WindowFold,
  signal: AbortSignal,
  onLeft: () => Promise<void>,
  count: (figures: Figures) => void,
): Promise<boolean> =>
  pass({
    cli,
    settings: rdkafkaConnection(kafka),
    codecs,
    topics: [feedback],
    spans,
    signal,
    ...(rate !== undefined && { rate }),
    handle: (batch) => {
      let unreadable = 0;
      for (const { decoded } of batch)
        if (decoded.is === 'DeliveryFeedback') fold.count(decoded.value);
        else unreadable += 1;
      count({ read: batch.length, unreadable });
      return Promise.resolve();
    },
    onLeft,
  });

/** What the topic holds of a time, in the highest revision; later ones of old windows may lie anywhere after it. */
const heldIn = async (
  work: WindowsRebuild,
  { coveredFrom }: WindowPlan,
  block: Block,
): Promise<Written> => {
  const from = Math.max(block.from, coveredFrom);
  if (from >= block.to) return new Map();
  const spans = await withAdmin(work.kafka, (admin) =>
    spansOfWindows(admin, work.windows.name, from === 0 ? null : from),
  );
  return highest(work, spans, ({ windowStart, windowMs }) => within(windowStart, windowMs));

  // Of another length, a window may reach in from the block before.
  function within(windowStart: EpochMs, windowMs: number): boolean {
    const { lengthMs } = windowsOf(work.config);
    return windowStart < block.to && windowStart + Math.max(0, windowMs - lengthMs) >= from;
  }
};

/** The highest revision of each window that is wanted. */
const highest = async (
  { kafka, codecs, windows }: WindowsRebuild,
  spans: readonly Span[],
  wanted: (window: ChannelWindow) => boolean,
): Promise<Written> => {
  const found = new Map<string, ChannelWindow>();
  const filled = spans.filter(({ from, to }) => from < to);
  if (filled.length === 0) return found;
  for await (const batch of readDecoded({
    settings: rdkafkaConnection(kafka),
    codecs,
    topics: [windows],
    partitions: filled,
    from: { offsets: new Map(filled.map((span) => [partitionId(span), span.from])) },
    to: { ends: new Map(filled.map((span) => [partitionId(span), span.to])) },
    deadlineMs: STALL_MS,
  }))
    for (const { decoded } of batch) {
      if (decoded.is !== 'ChannelWindow' || !wanted(decoded.value)) continue;
      const key = keyOf(decoded.value);
      if ((found.get(key)?.revision ?? -1) < decoded.value.revision) found.set(key, decoded.value);
    }
  return found;
};

/** @returns the first offset written, by partition */
const writeWindows = async (
  { kafka, codecs, windows, rate }: WindowsRebuild,
  values: readonly ChannelWindow[],
): Promise<ReadonlyMap<string, number>> => {
  const first = new Map<string, number>();
  const codec = codecs.of('ChannelWindow', windows.name);
  const due = pacer(Date.now());
  const producer = await RequestProducer.open(kafka, (_record, at) => {
    const id = partitionId(at);
    first.set(id, Math.min(first.get(id) ?? at.offset, at.offset));
  });
  try {
    for (const [index, value] of values.entries()) {
      if (rate !== undefined) await due((index / rate) * 1_000);
      await producer.send({
        topic: windows.name,
        key: partitionKey(value),
        value: codec.encode(value),
        headers: REBUILT_HEADERS,
      });
    }
    await producer.settle();
  } finally {
    await producer.close();
  }
  return first;
};

/** How many of the windows the topic now holds as they were written. */
const countRight = async (
  work: WindowsRebuild,
  from: ReadonlyMap<string, number>,
  values: readonly ChannelWindow[],
): Promise<number> => {
  const ours = new Map(values.map((value) => [keyOf(value), value]));
  const spans = await withAdmin(work.kafka, (admin) =>
    spansSince(admin, [work.windows.name], null),
  );
  const held = await highest(
    work,
    spans.map((span) => ({ ...span, from: from.get(partitionId(span)) ?? span.to })),
    (window) => ours.has(keyOf(window)),
  );
  return values.filter((value) => {
    const found = held.get(keyOf(value));
    return found !== undefined && sameContent(found, value);
  }).length;
};
