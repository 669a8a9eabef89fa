import kafkajs from 'kafkajs';
import { PipelineError } from '../schemas/error.js';
import { tlsRefusal } from '../schemas/tls-refusal.js';
import type { KafkaEnvironment } from './config.js';
import { kafkajsConnection } from './kafka-connection.js';

// CommonJS without names that Node can see.
const { Kafka, logLevel } = kafkajs;

const CONNECT_MS = 2_000;
/** Kafka's own names (protocol documentation, error codes). */
const WRONG_MECHANISM = 'UNSUPPORTED_SASL_MECHANISM';
const NOT_ALLOWED = /_AUTHORIZATION_FAILED$/;

const chainOf = (thrown: unknown): readonly Error[] => {
  const chain: Error[] = [];
  for (let error = thrown; error instanceof Error && chain.length < 5; error = error.cause)
    chain.push(error);
  return chain;
};

/** What kafkajs threw, where Kafka is there and refuses us, with the variable to correct; else null. */
export const kafkaRefusal = (thrown: unknown, kafka: KafkaEnvironment): PipelineError | null => {
  const at = kafka.brokers.join(', ');
  const user = kafka.sasl?.username ?? 'an anonymous client';
  const refused = (words: string): PipelineError =>
    new PipelineError('kafka_refused', words, thrown);
  const tls = tlsRefusal(thrown);
  if (tls !== null) return refused(`Kafka at ${at}: ${tls}. Check KAFKA_SSL_CA_LOCATION`);
  for (const error of chainOf(thrown)) {
    const { type } = error as { readonly type?: unknown };
    if (error.name === 'KafkaJSSASLAuthenticationError')
      return refused(
        `Kafka at ${at} refuses the credentials of ${user}. Check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM`,
      );
    if (type === WRONG_MECHANISM)
      return refused(
        `Kafka at ${at} does not take ${kafka.sasl?.mechanism ?? 'this SASL mechanism'}. Check KAFKA_SASL_MECHANISM`,
      );
    if (typeof type === 'string' && NOT_ALLOWED.test(type))
      return refused(
        `Kafka does not let ${user} do this (${type}). Check KAFKA_SASL_USERNAME, and the rules of its role: millrace acls print`,
      );
    // Without TLS or SASL where the broker wants it (or the reverse), it hangs up without a word.
    if (error.name === 'KafkaJSConnectionClosedError')
      return refused(
        `Kafka at ${at} hangs up on a ${kafka.securityProtocol} connection. Check KAFKA_SECURITY_PROTOCOL`,
      );
  }
  return null;
};

/**
 * Asks once more why there was no connection: node-rdkafka drops librdkafka's codes and says "broker transport
 * failure" to a wrong password and to a certificate nobody trusts alike; kafkajs tells them apart, in about 1 s.
 */
export const diagnoseKafka = async (kafka: KafkaEnvironment): Promise<PipelineError | null> => {
  const admin = new Kafka({
    ...kafkajsConnection(kafka),
    clientId: 'millrace',
    logLevel: logLevel.NOTHING,
    connectionTimeout: CONNECT_MS,
    requestTimeout: CONNECT_MS,
    retry: { retries: 1, initialRetryTime: 100, maxRetryTime: 500 },
  }).admin();
  try {
    await admin.connect();
    return null;
  } catch (thrown) {
    return kafkaRefusal(thrown, kafka);
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
};
