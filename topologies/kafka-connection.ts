import { readFileSync } from 'node:fs';
import type { KafkaConfig, SASLOptions } from 'kafkajs';
import { PipelineError, asError } from '../schemas/error.js';
import type { KafkaEnvironment } from './config.js';

/** librdkafka's connection properties: brokers, TLS and SASL. Spread into every node-rdkafka client's configuration. */
export const rdkafkaConnection = (kafka: KafkaEnvironment): Record<string, string> => {
  const { sasl, ssl } = kafka;
  const optional = {
    'sasl.mechanism': sasl?.mechanism,
    'sasl.username': sasl?.username,
    'sasl.password': sasl?.password,
    'ssl.ca.location': ssl.caLocation,
    'ssl.certificate.location': ssl.certificateLocation,
    'ssl.key.location': ssl.keyLocation,
    'ssl.key.password': ssl.keyPassword,
  };
  return {
    'metadata.broker.list': kafka.brokers.join(','),
    'security.protocol': kafka.securityProtocol,
    ...Object.fromEntries(
      Object.entries(optional).filter((entry): entry is [string, string] => entry[1] !== undefined),
    ),
  };
};

const saslOf = ({
  mechanism,
  username,
  password,
}: NonNullable<KafkaEnvironment['sasl']>): SASLOptions => {
  switch (mechanism) {
    case 'PLAIN':
      return { mechanism: 'plain', username, password };
    case 'SCRAM-SHA-256':
      return { mechanism: 'scram-sha-256', username, password };
    case 'SCRAM-SHA-512':
      return { mechanism: 'scram-sha-512', username, password };
  }
};

const file = (name: string, location: string): string => {
  try {
    return readFileSync(location, 'utf8');
  } catch (thrown) {
    throw new PipelineError(
      'config_invalid',
      `${name}: cannot read ${location}: ${asError(thrown).message}`,
      thrown,
    );
  }
};

/**
 * The same connection as kafkajs takes it, for administration.
 * @throws PipelineError `config_invalid` where a certificate or key cannot be read.
 */
export const kafkajsConnection = (
  kafka: KafkaEnvironment,
): Pick<KafkaConfig, 'brokers' | 'ssl' | 'sasl'> => {
  const { caLocation, certificateLocation, keyLocation, keyPassword } = kafka.ssl;
  const tls = {
    ...(caLocation !== undefined && { ca: file('KAFKA_SSL_CA_LOCATION', caLocation) }),
    ...(certificateLocation !== undefined && {
      cert: file('KAFKA_SSL_CERTIFICATE_LOCATION', certificateLocation),
    }),
    ...(keyLocation !== undefined && { key: file('KAFKA_SSL_KEY_LOCATION', keyLocation) }),
    ...(keyPassword !== undefined && { passphrase: keyPassword }),
  };
  const encrypted = kafka.securityProtocol === 'ssl' || kafka.securityProtocol === 'sasl_ssl';
  return {
    brokers: kafka.brokers,
    ...(encrypted && { ssl: Object.keys(tls).length === 0 ? true : tls }),
    ...(kafka.sasl !== undefined && { sasl: saslOf(kafka.sasl) }),
  };
};
