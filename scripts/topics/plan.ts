import type { TopicSpec } from '../../topologies/topic-table.js';

/** A topic as the cluster has it. */
export interface ClusterTopic {
  readonly name: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  /** Effective values, defaults included. */
  readonly config: Readonly<Record<string, string>>;
}

export interface ConfigDrift {
  readonly topic: string;
  readonly setting: string;
  readonly wanted: string;
  readonly found: string;
}
export interface PartitionConflict {
  readonly topic: string;
  readonly wanted: number;
  readonly found: number;
}

/** What applying the table would mean. */
export interface TopicPlan {
  readonly missing: readonly TopicSpec[];
  readonly drift: readonly ConfigDrift[];
  /** Never resolved by us. */
  readonly conflicts: readonly PartitionConflict[];
  /** There and as the table says. */
  readonly unchanged: readonly string[];
}

/** Compares the table with the cluster. Topics that the table does not name are nobody's business here. */
export const planTopics = (
  table: readonly TopicSpec[],
  cluster: readonly ClusterTopic[],
): TopicPlan => {
  const known = new Map(cluster.map((topic) => [topic.name, topic]));
  const missing: TopicSpec[] = [];
  const drift: ConfigDrift[] = [];
  const conflicts: PartitionConflict[] = [];
  const unchanged: string[] = [];
  for (const spec of table) {
    const found = known.get(spec.name);
    if (found === undefined) {
      missing.push(spec);
      continue;
    }
    const differing = Object.entries(spec.config).flatMap(([setting, wanted]) =>
      sameSetting(found.config[setting], wanted)
        ? []
        : [{ topic: spec.name, setting, wanted, found: found.config[setting] ?? 'unset' }],
    );
    drift.push(...differing);
    if (found.partitions !== spec.partitions)
      conflicts.push({ topic: spec.name, wanted: spec.partitions, found: found.partitions });
    else if (differing.length === 0) unchanged.push(spec.name);
  }
  return { missing, drift, conflicts, unchanged };
};

/** Brokers print numbers in their own way: 0.1 and 0.10 are one. */
const sameSetting = (found: string | undefined, wanted: string): boolean =>
  found === wanted || (found !== undefined && wanted !== '' && Number(found) === Number(wanted));

/** Why we refuse, and the way that keeps order and state. */
export const conflictAdvice = (conflicts: readonly PartitionConflict[]): readonly string[] => [
  ...conflicts.map(({ topic, wanted, found }) => `${topic} has ${found} partitions, not ${wanted}`),
  'Partition counts are never changed: keys would move to other partitions, away from their order, their dedupe entries and their claims.',
  `To keep what is there: --partitions ${conflicts[0]?.found ?? 0}. For another count: a new installation under another TOPIC_PREFIX; point producers at it and let this one drain (millrace status shows when).`,
];
