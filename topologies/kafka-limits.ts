import kafkajs from 'kafkajs';
import { PipelineError, asError } from '../schemas/error.js';
import type { KafkaEnvironment } from './config.js';
import { kafkajsConnection } from './kafka-connection.js';

const { ConfigResourceTypes, Kafka, KafkaJSProtocolError, logLevel } = kafkajs;

const NAME = 'max.message.bytes';
const UNSEEN: ReadonlySet<string> = new Set([
  'TOPIC_AUTHORIZATION_FAILED',
  'UNKNOWN_TOPIC_OR_PARTITION',
]);

/**
 * max.message.bytes of these topics as the cluster has it, in bytes. A topic on which we have no DescribeConfigs is
 * left out: a role sees its own.
 * @throws PipelineError kafka_unavailable
 */
export const readTopicLimits = async (
  kafka: KafkaEnvironment,
  topics: readonly string[],
): Promise<ReadonlyMap<string, number>> => {
  const admin = new Kafka({
    ...kafkajsConnection(kafka),
    clientId: 'millrace-limits',
    logLevel: logLevel.NOTHING,
  }).admin();
  try {
    await admin.connect();
    const found = await Promise.all(
      topics.map(async (name) => {
        try {
          const { resources } = await admin.describeConfigs({
            includeSynonyms: false,
            resources: [{ type: ConfigResourceTypes.TOPIC, name, configNames: [NAME] }],
          });
          const entry = resources[0]?.configEntries.find(({ configName }) => configName === NAME);
          return entry === undefined ? [] : [[name, Number(entry.configValue)] as const];
        } catch (thrown) {
          if (thrown instanceof KafkaJSProtocolError && UNSEEN.has(thrown.type)) return [];
          throw thrown;
        }
      }),
    );
    return new Map(found.flat());
  } catch (thrown) {
    throw new PipelineError(
      'kafka_unavailable',
      `cannot read ${NAME} of the topics (DescribeConfigs): ${asError(thrown).message}`,
      thrown,
    );
  } finally {
    await admin.disconnect();
  }
};
