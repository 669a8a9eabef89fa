import type { ConfigKind } from '../../schemas/config.js';
import { CONFIG_KINDS } from '../../schemas/config.js';
import type { ConfigEntry } from '../../schemas/generated/records.js';
import type { Codecs } from '../../schemas/topic-codecs.js';
import { configKey } from '../../processors/configuration.js';
import type { KafkaEnvironment } from '../../topologies/config.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import { readRange } from '../../topologies/runtime/range-reader.js';
import { topicNames } from '../../topologies/topic-names.js';

/** What workers follow now, by kind; a kind that was never published is absent. */
export type Published = ReadonlyMap<ConfigKind, ConfigEntry>;

/** Reads the `config` topic to its end. @throws PipelineError `topic_missing`, `kafka_unavailable` */
export const publishedConfig = async (
  kafka: KafkaEnvironment,
  codecs: Codecs,
): Promise<Published> => {
  const topic = topicNames(kafka.prefix).config;
  const codec = codecs.of('ConfigEntry', topic);
  const kinds = new Map(CONFIG_KINDS.map((kind) => [configKey(kind), kind]));
  const entries = new Map<ConfigKind, ConfigEntry>();
  const range = readRange({ settings: rdkafkaConnection(kafka), topics: [topic], to: 'high' });
  for await (const batch of range) {
    await codecs.prepare(batch.map((record) => record.value));
    for (const { key, value } of batch) {
      const kind = kinds.get(key?.toString() ?? '');
      if (kind === undefined) continue;
      if (value === null) entries.delete(kind);
      else entries.set(kind, codec.decode(value));
    }
  }
  return entries;
};
