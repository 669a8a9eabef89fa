import type { Admin } from 'kafkajs';
import type { BreakerLevel } from '../../schemas/generated/records.js';
import type { Codecs } from '../../schemas/topic-codecs.js';
import { ProducerClient } from '../../topologies/runtime/rdkafka-client.js';
import type { ClientSettings } from '../../topologies/runtime/rdkafka-client.js';
import type { Write } from '../../topologies/runtime/raw-record.js';
import type { TopicNames } from '../../topologies/topic-names.js';
import { createTopics, replicationOf } from '../topics/cluster.js';
import type { ShadowDecision } from './decide.js';

const DEADLINE_MS = 30_000;
/** As long as what they were made of (deduped, reserved, routed). */
const RETENTION_MS = 3 * 86_400_000;

const config = {
  'retention.ms': RETENTION_MS.toString(),
  'segment.ms': (RETENTION_MS / 4).toString(),
  'max.message.bytes': (1024 * 1024).toString(),
};

/** Topics of a run's own; nobody's stage reads them. */
export const shadowTopics = (prefix: string, run: string) =>
  ({
    routed: `${prefix}shadow.${run}.routed`,
    refused: `${prefix}shadow.${run}.refused`,
    levels: `${prefix}shadow.${run}.levels`,
  }) as const;

export type ShadowTopics = ReturnType<typeof shadowTopics>;

/** What a shadow run decided, for whoever wants to look closer: records as on routed.*, refused and breaker.levels. */
export class ShadowOutputs {
  private readonly producer: ProducerClient;
  private readonly codecs: Codecs;
  private readonly names: TopicNames;
  private readonly topics: ShadowTopics;

  private constructor(
    producer: ProducerClient,
    codecs: Codecs,
    names: TopicNames,
    topics: ShadowTopics,
  ) {
    this.producer = producer;
    this.codecs = codecs;
    this.names = names;
    this.topics = topics;
  }

  /** Makes the topics. Their records' schemas are those of the real topics: a reader finds them by the same ids. */
  static async open(
    admin: Admin,
    settings: ClientSettings,
    codecs: Codecs,
    names: TopicNames,
    topics: ShadowTopics,
  ): Promise<ShadowOutputs> {
    await codecs.open([
      { topic: names.retry('5s', 'p0'), record: 'MessageRouted' },
      { topic: names.refused, record: 'MessageRefused' },
      { topic: names.breakerLevels, record: 'BreakerLevel' },
    ]);
    const replicationFactor = await replicationOf(admin);
    await createTopics(
      admin,
      Object.values(topics).map((name) => ({ name, partitions: 1, replicationFactor, config })),
      () => undefined,
    );
    const producer = new ProducerClient({ ...settings, 'linger.ms': 5 });
    await producer.connect(DEADLINE_MS);
    return new ShadowOutputs(producer, codecs, names, topics);
  }

  decided(decisions: readonly { readonly key: string; readonly decision: ShadowDecision }[]) {
    const { codecs, names, topics } = this;
    const routed = codecs.of('MessageRouted', names.retry('5s', 'p0'));
    const refused = codecs.of('MessageRefused', names.refused);
    return this.write(
      decisions.map(({ key, decision }) =>
        decision.is === 'routed'
          ? { topic: topics.routed, partition: 0, key, value: routed.encode(decision.value) }
          : { topic: topics.refused, partition: 0, key, value: refused.encode(decision.value) },
      ),
    );
  }

  levels(events: readonly BreakerLevel[]): Promise<void> {
    const { encode } = this.codecs.of('BreakerLevel', this.names.breakerLevels);
    return this.write(
      events.map((event) => ({
        topic: this.topics.levels,
        partition: 0,
        key: event.scope,
        value: encode(event),
      })),
    );
  }

  async close(): Promise<void> {
    await this.producer.flush(DEADLINE_MS);
    await this.producer.disconnect(DEADLINE_MS);
  }

  private async write(writes: readonly Write[]): Promise<void> {
    await this.producer.produce(writes, DEADLINE_MS);
  }
}

/** Deletes what a run wrote. */
export const forgetShadow = async (admin: Admin, topics: ShadowTopics): Promise<boolean> => {
  const there = new Set(await admin.listTopics());
  const own = Object.values(topics).filter((topic) => there.has(topic));
  if (own.length > 0) await admin.deleteTopics({ topics: own });
  return own.length > 0;
};
