import { asError, PipelineError } from '../../schemas/error.js';
import { type ClientSettings, ConsumerClient, settled } from './rdkafka-client.js';

const DEADLINE_MS = 5_000;

/**
 * Partitions of every topic of the cluster, by name.
 * @throws PipelineError kafka_unavailable within seconds, with what to do
 */
export const partitionCounts = async (
  client: ClientSettings,
): Promise<ReadonlyMap<string, number>> => {
  const consumer = new ConsumerClient({ ...client, 'group.id': 'millrace.metadata' });
  try {
    await consumer.connect(DEADLINE_MS);
    const { topics } = await settled<{ topics: { name: string; partitions: unknown[] }[] }>(
      'metadata',
      DEADLINE_MS + 1_000,
      (done) => {
        consumer.native.getMetadata({ timeout: DEADLINE_MS }, done);
      },
    );
    return new Map(topics.map(({ name, partitions }) => [name, partitions.length]));
  } catch (error) {
    const brokers = String(client['metadata.broker.list'] ?? client['bootstrap.servers'] ?? '');
    throw new PipelineError(
      'kafka_unavailable',
      `Kafka does not answer at ${brokers} (${asError(error).message}): is it up (npm run stack up), and is KAFKA_BROKERS right?`,
      error,
    );
  } finally {
    await consumer.disconnect(2_000);
  }
};

/** @throws PipelineError topic_missing naming those that are not there */
export const requireTopics = (
  counts: ReadonlyMap<string, number>,
  names: readonly string[],
): void => {
  const missing = [...new Set(names)].filter((name) => !counts.has(name));
  if (missing.length === 0) return;
  throw new PipelineError(
    'topic_missing',
    `${missing.length.toString()} topics are missing (${missing.slice(0, 3).join(', ')}${missing.length > 3 ? ', ...' : ''}): run \`millrace topics apply\`; where they exist, this principal may not see them: \`millrace acls apply\``,
  );
};
