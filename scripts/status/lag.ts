import type { Admin } from 'kafkajs';
import type { KafkaEnvironment } from '../../topologies/config.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import { readRange } from '../../topologies/runtime/range-reader.js';
import type { TopicPartition } from '../../topologies/runtime/raw-record.js';
import { partitionId } from '../../topologies/runtime/raw-record.js';
import { ConsumerClient } from '../../topologies/runtime/rdkafka-client.js';
import { groupOf } from '../../topologies/runtime/worker.js';

/** What a group has not taken yet. */
export interface GroupLag {
  /** Task, lane included: intake.p0, send.p3.1 (retries), settle. */
  readonly task: string;
  readonly records: number;
  /** False: an upper bound, transaction markers counted in. */
  readonly exact: boolean;
  /** Topics with a lag, largest first. */
  readonly topics: readonly { readonly topic: string; readonly records: number }[];
}

/** Groups that only name readers by assignment. */
const READERS = new Set(['restore', 'tables', 'metadata']);
/** Groups of earlier releases: their offsets stay in Kafka for a while, and nobody moves them any more. */
const FORMER = new Set(['attempts']);
/** A gap of this size or less is read, because offsets of markers are not records (rule 17). */
const READ_AT_MOST = 5_000;
const CALL_MS = 5_000;

interface Gap extends TopicPartition {
  readonly from: number;
  readonly to: number;
}

interface GroupGaps {
  readonly group: string;
  readonly gaps: readonly Gap[];
}

/** Lag of every worker group to the last stable offset, by task. */
export const groupLags = async (
  admin: Admin,
  kafka: KafkaEnvironment,
): Promise<readonly GroupLag[]> => {
  const prefix = groupOf(kafka.prefix, '');
  const { groups } = await admin.listGroups();
  const names = groups
    .map((group) => group.groupId)
    .filter((id) => id.startsWith(prefix) && !READERS.has(id.slice(prefix.length)))
    .filter((id) => !FORMER.has(id.slice(prefix.length)))
    .sort();
  const client = new ConsumerClient({
    ...rdkafkaConnection(kafka),
    'group.id': 'millrace-read-lag',
    'isolation.level': 'read_committed',
  });
  await client.connect(CALL_MS);
  let all: readonly GroupGaps[];
  try {
    const ends = stableEnds(client);
    all = await Promise.all(
      names.map(async (group) => ({
        group,
        gaps: await gapsOf(ends, await admin.fetchOffsets({ groupId: group })),
      })),
    );
  } finally {
    await client.disconnect(CALL_MS);
  }
  const counts = await countSmall(all, kafka);
  return all.map(({ group, gaps }) => lagOf(group.slice(prefix.length), gaps, counts));
};

type Ends = (at: TopicPartition) => Promise<{ readonly low: number; readonly high: number }>;

/** Each partition is asked for once, although several groups read it. */
const stableEnds = (client: ConsumerClient): Ends => {
  const asked = new Map<string, ReturnType<Ends>>();
  return (at) => {
    const known = asked.get(partitionId(at)) ?? client.watermarks(at, CALL_MS);
    asked.set(partitionId(at), known);
    return known;
  };
};

/**
 * Records of these topics that one group has not taken yet, to the last stable offset. A partition of which it has
 * committed nothing counts from its beginning.
 */
export const lagOn = async (
  admin: Admin,
  kafka: KafkaEnvironment,
  groupId: string,
  topics: readonly string[],
): Promise<number> => {
  const client = new ConsumerClient({
    ...rdkafkaConnection(kafka),
    'group.id': 'millrace-read-lag',
    'isolation.level': 'read_committed',
  });
  await client.connect(CALL_MS);
  try {
    const committed = await admin.fetchOffsets({ groupId, topics: [...topics] });
    const gaps = await gapsOf(stableEnds(client), committed);
    return lagOf(groupId, gaps, await countSmall([{ group: groupId, gaps }], kafka)).records;
  } finally {
    await client.disconnect(CALL_MS);
  }
};

const gapsOf = async (
  ends: Ends,
  committed: Awaited<ReturnType<Admin['fetchOffsets']>>,
): Promise<Gap[]> => {
  const gaps: Gap[] = [];
  for (const { topic, partitions } of committed)
    for (const { partition, offset } of partitions) {
      const { low, high } = await ends({ topic, partition });
      const from = Math.max(low, Number(offset));
      if (high > from) gaps.push({ topic, partition, from, to: high });
    }
  return gaps;
};

const isSmall = (gap: Gap): boolean => gap.to - gap.from <= READ_AT_MOST;

/** Offsets of the records in all small gaps, by partition, in one reading. */
const countSmall = async (
  all: readonly GroupGaps[],
  kafka: KafkaEnvironment,
): Promise<ReadonlyMap<string, readonly number[]>> => {
  const wanted = new Map<string, Gap>();
  for (const gap of all.flatMap(({ gaps }) => gaps).filter(isSmall)) {
    const before = wanted.get(partitionId(gap));
    if (before === undefined || gap.from < before.from) wanted.set(partitionId(gap), gap);
  }
  const offsets = new Map<string, number[]>();
  if (wanted.size === 0) return offsets;
  for await (const batch of readRange({
    settings: rdkafkaConnection(kafka),
    topics: [],
    partitions: [...wanted.values()].map(({ topic, partition }) => ({ topic, partition })),
    from: { offsets: new Map([...wanted].map(([id, gap]) => [id, gap.from])) },
  }))
    for (const { at } of batch) {
      const known = offsets.get(partitionId(at)) ?? [];
      known.push(at.offset);
      offsets.set(partitionId(at), known);
    }
  return offsets;
};

const lagOf = (
  task: string,
  gaps: readonly Gap[],
  counts: ReadonlyMap<string, readonly number[]>,
): GroupLag => {
  const byTopic = new Map<string, number>();
  for (const gap of gaps) {
    const records = isSmall(gap)
      ? (counts.get(partitionId(gap)) ?? []).filter((offset) => offset >= gap.from).length
      : gap.to - gap.from;
    if (records > 0) byTopic.set(gap.topic, (byTopic.get(gap.topic) ?? 0) + records);
  }
  const topics = [...byTopic]
    .map(([topic, records]) => ({ topic, records }))
    .sort((a, b) => b.records - a.records);
  return {
    task,
    records: topics.reduce((sum, { records }) => sum + records, 0),
    exact: gaps.every(isSmall),
    topics,
  };
};
