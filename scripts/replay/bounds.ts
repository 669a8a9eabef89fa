import { InvalidArgumentError } from 'commander';
import type { Admin } from 'kafkajs';
import { partitionId } from '../../topologies/runtime/raw-record.js';
import { pointInTime } from '../cli/options.js';
import { UsageError } from '../cli/exit.js';
import type { Span } from '../rebuild/spans.js';
import { spansSince } from '../rebuild/spans.js';

/** Where a range begins or ends, as typed. */
export type Bound =
  /** Milliseconds since the epoch. */
  | { readonly is: 'time'; readonly at: number }
  /** One offset for every partition. */
  | { readonly is: 'offset'; readonly offset: number }
  /** partition:offset,... ; a partition that is not named is left out. */
  | { readonly is: 'offsets'; readonly offsets: ReadonlyMap<number, number> };

/** A time or duration as everywhere, an offset (4711), or offsets by partition (0:4711,2:4700). */
export const bound = (text: string): Bound => {
  if (/^\d+$/.test(text)) return { is: 'offset', offset: Number(text) };
  if (/^\d+:\d+(,\d+:\d+)*$/.test(text))
    return {
      is: 'offsets',
      offsets: new Map(
        text.split(',').map((one) => {
          const [partition, offset] = one.split(':').map(Number);
          return [partition ?? 0, offset ?? 0];
        }),
      ),
    };
  try {
    return { is: 'time', at: pointInTime(text) };
  } catch {
    throw new InvalidArgumentError(
      'a duration such as 15m, 24h, 7d, a time such as 2026-01-31T08:00Z, an offset such as 4711, or 0:4711,2:4700.',
    );
  }
};

const offsetsAt = async (
  admin: Admin,
  whole: readonly Span[],
  at: Bound,
  late: (span: Span) => number,
): Promise<ReadonlyMap<string, number>> => {
  const found = new Map<string, number>();
  const topics = [...new Set(whole.map(({ topic }) => topic))];
  const byTime = new Map<string, number>();
  if (at.is === 'time')
    for (const topic of topics)
      for (const { partition, offset } of await admin.fetchTopicOffsetsByTimestamp(topic, at.at))
        byTime.set(partitionId({ topic, partition }), Number(offset));
  for (const span of whole) {
    const id = partitionId(span);
    const offset =
      at.is === 'time'
        ? byTime.get(id)
        : at.is === 'offset'
          ? at.offset
          : at.offsets.get(span.partition);
    // -1: nothing so late.
    if (offset !== undefined) found.set(id, offset < 0 ? late(span) : offset);
  }
  return found;
};

/**
 * Resolves bounds to offsets, once, before anything is read: [since, until) of each partition, within what the topics
 * hold. until null: what is there now.
 * @throws PipelineError topic_missing; UsageError for offsets that would mean different things on several topics
 */
export const resolveBounds = async (
  admin: Admin,
  topics: readonly string[],
  since: Bound,
  until: Bound | null,
): Promise<readonly Span[]> => {
  if (topics.length > 1 && [since, until].some((one) => one !== null && one.is !== 'time'))
    throw new UsageError(
      `offsets are of one topic, and --from names ${topics.length}: give times, or one of ${topics.join(', ')}`,
    );
  const whole = await spansSince(admin, topics, null);
  const high = ({ to }: Span): number => to;
  const from = await offsetsAt(admin, whole, since, high);
  const to = until === null ? null : await offsetsAt(admin, whole, until, high);
  return whole.flatMap((span) => {
    const id = partitionId(span);
    const first = from.get(id);
    const end = to === null ? span.to : to.get(id);
    if (first === undefined || end === undefined) return [];
    const begin = Math.min(Math.max(first, span.from), span.to);
    return [{ ...span, from: begin, to: Math.max(begin, Math.min(end, span.to)) }];
  });
};
