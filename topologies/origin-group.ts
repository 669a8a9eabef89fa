import { laneOf } from '../processors/lane.js';
import { LANES } from '../schemas/generated/records.js';
import { groupOf } from './runtime/worker.js';
import { RETRY_DELAYS, type TopicNames } from './topic-names.js';

/**
 * The group whose committed offset says that a record of this topic was taken. null: no task reads the topic (what
 * lies on deduped or reserved was handed on in the transaction that wrote it; feedback, refused and dead letters are
 * ends).
 */
export const originGroup = (topic: string, prefix: string, names: TopicNames): string | null => {
  const name = topic.slice(prefix.length);
  const of = (task: string): string => groupOf(prefix, task);
  if (name.startsWith('ingest.')) return of(`intake.${laneOf(topic)}`);
  if (name.startsWith('routed.')) return of(`send.${laneOf(topic)}`);
  const retried = LANES.find((lane) =>
    RETRY_DELAYS.some((delay) => names.retry(delay, lane) === topic),
  );
  if (retried !== undefined) return of(`send.${retried}.1`);
  const parked = LANES.find((lane) => names.parked(lane) === topic);
  return parked === undefined ? null : of(`again.${parked}.1`);
};
