import type { Admin } from 'kafkajs';
import { PipelineError } from '../../schemas/error.js';
import type { TopicPartition } from '../../topologies/runtime/raw-record.js';
import { partitionId } from '../../topologies/runtime/raw-record.js';

/** A range of one partition, resolved before anything is read. */
export interface Span extends TopicPartition {
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

/**
 * What the topics hold since a time (ms since the epoch; null: all of it) and now.
 * @throws PipelineError `topic_missing` naming those that are not there
 */
export const spansSince = async (
  admin: Admin,
  topics: readonly string[],
  since: number | null,
): Promise<readonly Span[]> => {
  const there = new Set(await admin.listTopics());
  const missing = topics.filter((topic) => !there.has(topic));
  if (missing.length > 0)
    throw new PipelineError(
      'topic_missing',
      `no topic ${missing.join(', ')}: run millrace topics apply, or check TOPIC_PREFIX`,
    );
  const spans: Span[] = [];
  for (const topic of topics) {
    const watermarks = await admin.fetchTopicOffsets(topic);
    const starts = new Map(
      since === null
        ? []
        : (await admin.fetchTopicOffsetsByTimestamp(topic, since)).map(({ partition, offset }) => [
            partition,
            Number(offset),
          ]),
    );
    for (const { partition, low, high } of watermarks) {
      const start = starts.get(partition);
      spans.push({
        topic,
        partition,
        // -1: nothing so late.
        from: start === undefined ? Number(low) : start < 0 ? Number(high) : start,
        to: Number(high),
      });
    }
  }
  return spans;
};

/** Cuts spans off where a group stands: what it has not taken is not decided. No offset: it has taken nothing. */
export const takenBy = async (
  admin: Admin,
  groupId: string,
  spans: readonly Span[],
): Promise<readonly Span[]> => {
  const topics = [...new Set(spans.map(({ topic }) => topic))];
  const committed = new Map<string, number>();
  for (const { topic, partitions } of await admin.fetchOffsets({ groupId, topics }))
    for (const { partition, offset } of partitions)
      committed.set(partitionId({ topic, partition }), Number(offset));
  return spans.map((span) => ({
    ...span,
    to: Math.max(span.from, Math.min(span.to, committed.get(partitionId(span)) ?? -1)),
  }));
};

export const sizeOf = (spans: readonly Span[]): number =>
  spans.reduce((sum, { from, to }) => sum + Math.max(0, to - from), 0);
