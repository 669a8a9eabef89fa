import type { Admin } from 'kafkajs';
import kafkajs from 'kafkajs';
import { PipelineError } from '../../schemas/error.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import type { ClusterTopic, ConfigDrift } from './plan.js';

// CommonJS without names that Node can see.
const { ConfigResourceTypes, ConfigSource, KafkaJSProtocolError } = kafkajs;

const READY_DEADLINE_MS = 60_000;
const POLL_MS = 100;
/** Of one CreateTopics request: a broker answers some hundred topics within its time-out easily. */
const TOPICS_A_REQUEST = 200;

/** Those of the named topics that the cluster has. */
export const clusterTopics = async (
  admin: Admin,
  names: readonly string[],
): Promise<readonly ClusterTopic[]> => {
  const all = new Set(await admin.listTopics());
  const present = names.filter((name) => all.has(name));
  if (present.length === 0) return [];
  const [{ topics }, { resources }] = await Promise.all([
    admin.fetchTopicMetadata({ topics: present }),
    admin.describeConfigs({
      includeSynonyms: false,
      resources: present.map((name) => ({ type: ConfigResourceTypes.TOPIC, name })),
    }),
  ]);
  const configs = new Map(
    resources.map((resource) => [
      resource.resourceName,
      Object.fromEntries(
        resource.configEntries.map((entry) => [entry.configName, entry.configValue]),
      ),
    ]),
  );
  return topics.map((topic) => ({
    name: topic.name,
    partitions: topic.partitions.length,
    replicationFactor: topic.partitions[0]?.replicas.length ?? 0,
    config: configs.get(topic.name) ?? {},
  }));
};

/** As many copies as a cluster can hold, three at most: RF 3 with min ISR 2 survives a broker. */
export const replicationOf = async (admin: Admin): Promise<number> =>
  Math.min(3, (await admin.describeCluster()).brokers.length);

/**
 * Creates the topics and waits until each partition has a leader. Not kafkajs' own waiting: it ends with the first
 * broker that has heard of a topic and not of its partitions.
 */
export const createTopics = async (
  admin: Admin,
  missing: readonly Pick<TopicSpec, 'name' | 'partitions' | 'replicationFactor' | 'config'>[],
  onProgress: (created: number) => void,
): Promise<void> => {
  for (let at = 0; at < missing.length; at += TOPICS_A_REQUEST) {
    const some = missing.slice(at, at + TOPICS_A_REQUEST);
    await admin.createTopics({
      waitForLeaders: false,
      timeout: READY_DEADLINE_MS,
      topics: some.map((spec) => ({
        topic: spec.name,
        numPartitions: spec.partitions,
        replicationFactor: spec.replicationFactor,
        configEntries: Object.entries(spec.config).map(([name, value]) => ({ name, value })),
      })),
    });
    onProgress(at + some.length);
  }
  await untilReady(
    admin,
    missing.map((spec) => spec.name),
  );
};

/** Those of the topics whose partitions all have a leader. */
const led = async (admin: Admin, names: readonly string[]): Promise<readonly string[]> => {
  if (names.length === 0) return [];
  try {
    const { topics } = await admin.fetchTopicMetadata({ topics: [...names] });
    return topics
      .filter(({ partitions }) => partitions.length > 0 && partitions.every((p) => p.leader >= 0))
      .map(({ name }) => name);
  } catch (thrown) {
    // A broker may list a topic and, asked for it, not host it yet (seen in one of fourteen runs): not ready.
    if (thrown instanceof KafkaJSProtocolError && thrown.retriable) return [];
    throw thrown;
  }
};

/** A producer that is faster than the metadata would be told that its topic does not exist. */
const untilReady = async (admin: Admin, names: readonly string[]): Promise<void> => {
  const deadline = Date.now() + READY_DEADLINE_MS;
  let waiting = names;
  while (waiting.length > 0) {
    const listed = new Set(await admin.listTopics());
    const present = waiting.filter((name) => listed.has(name));
    const ready = new Set<string>();
    for (const name of await led(admin, present)) ready.add(name);
    waiting = waiting.filter((name) => !ready.has(name));
    if (waiting.length === 0) return;
    if (Date.now() > deadline)
      throw new PipelineError(
        'kafka_unavailable',
        `created, but without a leader after ${READY_DEADLINE_MS / 1_000} s: ${waiting.slice(0, 5).join(', ')}.`,
      );
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
};

/**
 * Sets the drifted settings. AlterConfigs replaces all of a topic's own settings at once, so those that operators
 * made beside ours are read first and sent along.
 */
export const alterTopics = async (admin: Admin, drift: readonly ConfigDrift[]): Promise<void> => {
  const names = [...new Set(drift.map((one) => one.topic))];
  if (names.length === 0) return;
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: names.map((name) => ({ type: ConfigResourceTypes.TOPIC, name })),
  });
  await admin.alterConfigs({
    validateOnly: false,
    resources: resources.map((resource) => {
      const entries = new Map(
        resource.configEntries
          .filter((entry) => entry.configSource === ConfigSource.TOPIC_CONFIG)
          .map((entry) => [entry.configName, entry.configValue]),
      );
      for (const one of drift)
        if (one.topic === resource.resourceName) entries.set(one.setting, one.wanted);
      return {
        type: ConfigResourceTypes.TOPIC,
        name: resource.resourceName,
        configEntries: [...entries].map(([name, value]) => ({ name, value })),
      };
    }),
  });
};
