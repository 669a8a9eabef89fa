import type { Admin } from 'kafkajs';
import { CLOCK_KEY } from '../../processors/windows/merge-state.js';
import { mergingCodec } from '../../processors/windows/window-codec.js';
import type { EpochMs } from '../../schemas/brand.js';
import { changelogKey } from '../../topologies/runtime/chain.js';
import { partitionId } from '../../topologies/runtime/raw-record.js';
import { readRange } from '../../topologies/runtime/range-reader.js';
import type { ClientSettings } from '../../topologies/runtime/rdkafka-client.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import type { RebuildPlan } from './recorded-run.js';
import type { Span } from './spans.js';
import { spansSince } from './spans.js';

const DAY_MS = 86_400_000;
/** Many times what clocks differ by: no record is written so long before its own time. */
const CLOCKS_APART_MS = 3_600_000;
/** Beyond any retention of `feedback`. */
const MOST_DAYS = 400;
/** For the mergers' changelog, however much of it is not compacted yet. */
const READ_MS = 600_000;

export interface WindowPlan extends RebuildPlan {
  /** Windows that begin before it are covered in part at most; 0: the range has all there ever was. */
  readonly coveredFrom: EpochMs;
  /** Windows that ended before it are forgotten by every merger; 0: there are none. */
  readonly forgottenTo: EpochMs;
}

/** Records of a partition from which on all of the windows that begin then are there, whoever's clock they go by. */
export const spansOfWindows = (
  admin: Admin,
  topic: string,
  since: EpochMs | null,
): Promise<readonly Span[]> =>
  spansSince(admin, [topic], since === null ? null : Math.max(0, since - CLOCKS_APART_MS));

export const planWindows = async (work: {
  readonly admin: Admin;
  readonly settings: ClientSettings;
  readonly feedback: TopicSpec;
  /** The mergers' input, and the changelog of what they keep. */
  readonly partials: string;
  readonly merging: string;
  readonly since: EpochMs | null;
}): Promise<WindowPlan> => {
  const { admin, settings, feedback, partials, merging, since } = work;
  const clock = changelogKey(partials, CLOCK_KEY);
  const forgottenTo = await forgottenBy(admin, settings, merging, clock);
  const range = await spansOfWindows(admin, feedback.name, since);
  const kept = await keptSince(settings, feedback, await spansSince(admin, [feedback.name], null));
  return { range, coveredFrom: Math.max(since ?? 0, kept), forgottenTo };
};

/**
 * The mergers' own word, as they keep it: up to what all of them have let go of windows. A merger without one has yet to
 * begin, and may write any window.
 */
const forgottenBy = async (
  admin: Admin,
  settings: ClientSettings,
  topic: string,
  clock: string,
): Promise<EpochMs> => {
  const spans = await spansSince(admin, [topic], null);
  const codec = mergingCodec();
  const prunedTo = new Map<number, EpochMs>();
  for await (const batch of readRange({
    settings,
    topics: [topic],
    to: 'high',
    deadlineMs: READ_MS,
  }))
    for (const { at, key, value } of batch) {
      if (key?.toString() !== clock) continue;
      const state = value === null ? undefined : codec.decode(value);
      prunedTo.set(at.partition, state?.is === 'clock' ? state.prunedTo : 0);
    }
  return Math.min(...spans.map(({ partition }) => prunedTo.get(partition) ?? 0));
};

/** From when on no window has lost feedback to retention; 0 where none was ever deleted. */
const keptSince = async (
  settings: ClientSettings,
  { name, cleanup }: TopicSpec,
  spans: readonly Span[],
): Promise<EpochMs> => {
  const cut = spans.filter(({ from }) => from > 0);
  const filled = cut.filter(({ from, to }) => from < to);
  const firsts = new Map<number, EpochMs>();
  if (filled.length > 0)
    for await (const batch of readRange({
      settings,
      topics: [name],
      partitions: filled,
      from: { offsets: new Map(filled.map((span) => [partitionId(span), span.from])) },
      to: { ends: new Map(filled.map((span) => [partitionId(span), span.to])) },
    })) {
      for (const { at, timestamp } of batch)
        if (!firsts.has(at.partition)) firsts.set(at.partition, timestamp);
      if (firsts.size === filled.length) break;
    }
  // A partition that is empty now has lost nothing younger than the retention.
  const past = cleanup.policy === 'delete' ? Date.now() - cleanup.retentionMs : 0;
  return Math.max(
    0,
    ...cut.map(({ partition }) => (firsts.get(partition) ?? past) + CLOCKS_APART_MS),
  );
};

/** Windows that begin within a time, and the feedback that is left to read for them. */
export interface Block {
  readonly from: EpochMs;
  /** Exclusive. */
  readonly to: EpochMs;
  readonly spans: readonly Span[];
}

/**
 * The range in days, the newest first. Feedback may be written long after its time, but never before it: read
 * backwards, each window is whole once its beginning is reached, however late some of it came.
 */
export const blocksOf = async (
  admin: Admin,
  topic: string,
  range: readonly Span[],
): Promise<readonly Block[]> => {
  const blocks: Block[] = [];
  let left = range;
  let to = Infinity;
  let from = Date.now() - DAY_MS;
  for (let day = 1; ; day += 1, from -= DAY_MS) {
    const starts = new Map(
      (await spansOfWindows(admin, topic, from)).map((span) => [partitionId(span), span.from]),
    );
    const spans = left.map((span) => ({
      ...span,
      from:
        day === MOST_DAYS
          ? span.from
          : Math.min(span.to, Math.max(span.from, starts.get(partitionId(span)) ?? span.from)),
    }));
    const last = spans.every((span, index) => span.from === left[index]?.from);
    blocks.push({ from: last ? 0 : from, to, spans });
    if (last) return blocks;
    left = left.map((span, index) => ({ ...span, to: spans[index]?.from ?? span.to }));
    to = from;
  }
};
