import type { Admin } from 'kafkajs';
import kafkajs from 'kafkajs';
import { PipelineError, asError } from '../../schemas/error.js';
import type { KafkaEnvironment } from '../../topologies/config.js';
import { kafkajsConnection } from '../../topologies/kafka-connection.js';
import { kafkaRefusal } from '../../topologies/kafka-refusal.js';

// CommonJS without names that Node can see.
const { Kafka, logLevel } = kafkajs;

/** A person waits: an address that does not answer is named within seconds. */
const CONNECT_MS = 2_000;

/**
 * Runs with an administration client that is connected, and closes it.
 * @throws PipelineError `kafka_unavailable` naming the addresses, within about 3 s; `kafka_refused` naming the variable
 *   to correct, or the right that is missing
 */
export const withAdmin = async <T>(
  kafka: KafkaEnvironment,
  run: (admin: Admin) => Promise<T>,
): Promise<T> => {
  const admin = new Kafka({
    ...kafkajsConnection(kafka),
    clientId: 'millrace',
    logLevel: logLevel.NOTHING,
    connectionTimeout: CONNECT_MS,
    requestTimeout: 30_000,
    retry: { retries: 2, initialRetryTime: 100, maxRetryTime: 500 },
  }).admin();
  try {
    await admin.connect();
  } catch (thrown) {
    await admin.disconnect().catch(() => undefined);
    const refusal = kafkaRefusal(thrown, kafka);
    if (refusal !== null) throw refusal;
    throw new PipelineError(
      'kafka_unavailable',
      `Kafka does not answer at ${kafka.brokers.join(', ')} (${reasonOf(thrown)}).`,
      thrown,
    );
  }
  try {
    return await run(admin);
  } catch (thrown) {
    throw kafkaRefusal(thrown, kafka) ?? thrown;
  } finally {
    await admin.disconnect();
  }
};

const reasonOf = (thrown: unknown): string => {
  const error = asError(thrown);
  return (error.cause instanceof Error ? error.cause : error).message
    .replace(/^Connection error: /, '')
    .replace(/\.$/, '');
};
