import { readFileSync } from 'node:fs';
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

const KAFKAJS_MECHANISMS = {
  PLAIN: 'plain',
  'SCRAM-SHA-256': 'scram-sha-256',
  'SCRAM-SHA-512': 'scram-sha-512',
} as const;

interface KafkajsTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly passphrase?: string;
}
interface KafkajsSasl {
  readonly mechanism: (typeof KAFKAJS_MECHANISMS)[keyof typeof KAFKAJS_MECHANISMS];
  readonly username: string;
  readonly password: string;
}

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
): {
  readonly brokers: string[];
  readonly ssl?: KafkajsTls | true;
  readonly sasl?: KafkajsSasl;
} => {
  const { caLocation, certificateLocation, keyLocation, keyPassword } = kafka.ssl;
  const tls: KafkajsTls = {
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
    ...(kafka.sasl !== undefined && {
      sasl: {
        mechanism: KAFKAJS_MECHANISMS[kafka.sasl.mechanism],
        username: kafka.sasl.username,
        password: kafka.sasl.password,
      },
    }),
  };
};
