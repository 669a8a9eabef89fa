import type { Admin } from 'kafkajs';
import type { Finding } from './finding.js';
import { bad, good, note } from './finding.js';

/** A partition's copies, by their brokers. */
export interface Copies {
  readonly topic: string;
  readonly partition: number;
  /** -1: none, so nobody reads or writes it. */
  readonly leader: number;
  readonly replicas: readonly number[];
  readonly inSync: readonly number[];
}

/** Of those of these topics that are there. */
export const clusterCopies = async (
  admin: Admin,
  names: readonly string[],
): Promise<readonly Copies[]> => {
  const there = new Set(await admin.listTopics());
  const topics = names.filter((name) => there.has(name));
  if (topics.length === 0) return [];
  const metadata = await admin.fetchTopicMetadata({ topics });
  return metadata.topics.flatMap(({ name, partitions }) =>
    partitions.map(({ partitionId, leader, replicas, isr }) => ({
      topic: name,
      partition: partitionId,
      leader,
      replicas,
      inSync: isr,
    })),
  );
};

/** Topics of the table want all but one of their copies in sync (min.insync.replicas), from two copies on. */
const needed = ({ replicas }: Copies): number => Math.max(1, replicas.length - 1);

const examples = (found: readonly Copies[]): string =>
  `${found
    .slice(0, 3)
    .map(({ topic, partition }) => `${topic}/${partition}`)
    .join(', ')}${found.length > 3 ? ', ...' : ''}`;

const absentOf = (found: readonly Copies[]): string =>
  [
    ...new Set(
      found.flatMap(({ replicas, inSync }) => replicas.filter((one) => !inSync.includes(one))),
    ),
  ]
    .sort((a, b) => a - b)
    .join(', ');

/** Whether each partition has a leader, and its copies. */
export const copyFindings = (all: readonly Copies[]): readonly Finding[] => {
  const leaderless = all.filter(({ leader }) => leader < 0);
  const led = all.filter(({ leader }) => leader >= 0);
  const short = led.filter((one) => one.inSync.length < needed(one));
  const behind = led.filter(
    (one) => one.inSync.length < one.replicas.length && one.inSync.length >= needed(one),
  );
  const fix = 'docs/operators/broker-loss.md';
  return [
    ...(leaderless.length === 0
      ? []
      : [
          bad(
            'copies',
            `${leaderless.length} partitions have no leader (${examples(leaderless)}): their records wait; broker ${absentOf(leaderless)} is missed`,
            fix,
          ),
        ]),
    ...(short.length === 0
      ? []
      : [
          bad(
            'copies',
            `${short.length} partitions have too few copies to be written to (${examples(short)}): broker ${absentOf(short)} is missed`,
            fix,
          ),
        ]),
    ...(behind.length === 0
      ? []
      : [
          note(
            'copies',
            `${behind.length} partitions lack a copy (${examples(behind)}): broker ${absentOf(behind)} is away or behind`,
            fix,
          ),
        ]),
    ...(all.length > 0 && leaderless.length + short.length + behind.length === 0
      ? [good('copies', `${all.length} partitions have a leader and all their copies`)]
      : []),
  ];
};
