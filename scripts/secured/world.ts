import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { scratchBucket } from '../../sinks/influx/scratch-bucket.js';
import type { EnvironmentGroup } from '../../topologies/config.js';
import type { Variables } from '../installation/installation.js';
import { type SecuredKafka, startSecuredKafka } from './kafka.js';
import type { Identity } from './stores.js';
import { authority, startPostgres, startRedis, tlsProxy } from './stores.js';

export type Dependency = Exclude<EnvironmentGroup, 'worker'>;

/** What nobody may ever read in a log, an error or a finding. Some hold characters that mean something in a URL. */
export const SECRETS = {
  registry: 'canary-registry p@ss/w:rd?#%2F',
  postgres: 'canary-postgres p@ss/w:rd?#%2F',
  redis: 'canary-redis-password',
  influx: 'canary-influx-token',
} as const;

/** Every dependency with TLS and credentials, Kafka with access rules too; the stack's own where they have none. */
export interface SecuredWorld {
  readonly folder: string;
  readonly kafka: SecuredKafka;
  /** How each is reached; Kafka as its administrator. */
  readonly variables: Readonly<Record<Dependency, Variables>>;
  /** What must change to meet the same with a certificate that has expired. */
  readonly expired: Readonly<Record<Dependency, Variables>>;
  /** A PEM file of an authority that signed none of them. */
  readonly otherAuthority: string;
  readonly stop: () => Promise<void>;
}

const stackUrl = (name: string): URL => {
  const url = process.env[name];
  if (url === undefined)
    throw new Error(`${name} is not set: npm run stack up, then source .stack/env`);
  return new URL(url);
};

/** `alsoExpired`: each once more, with a certificate that has expired. */
export const startSecuredWorld = async (alsoExpired: boolean): Promise<SecuredWorld> => {
  const folder = mkdtempSync(path.join(tmpdir(), 'millrace-secured-'));
  const stops: (() => Promise<void>)[] = [];
  const kept = async <T extends { readonly stop: () => Promise<void> }>(starting: Promise<T>) => {
    const one = await starting;
    stops.push(one.stop);
    return one;
  };
  const file = (name: string, text: string): string => {
    const place = path.join(folder, name);
    writeFileSync(place, text, { mode: 0o600 });
    return place;
  };
  const certificates = authority();
  const registry = stackUrl('SCHEMA_REGISTRY_URL');
  const influx = stackUrl('INFLUX_URL');
  const bucket = await scratchBucket();
  stops.push(bucket.drop);
  const basic = `Basic ${Buffer.from(`ann:${SECRETS.registry}`).toString('base64')}`;
  const stores = async (identity: Identity) => {
    const [registryAt, influxAt, postgresAt, redisAt] = await Promise.all([
      kept(tlsProxy(registry, identity, basic)),
      kept(tlsProxy(influx, identity, `Token ${SECRETS.influx}`)),
      kept(startPostgres(identity, SECRETS.postgres)),
      kept(startRedis(folder, identity, 'ann', SECRETS.redis)),
    ]);
    return {
      registry: { SCHEMA_REGISTRY_URL: `https://127.0.0.1:${registryAt.port}${registry.pathname}` },
      influx: { INFLUX_URL: `https://127.0.0.1:${influxAt.port}` },
      postgres: { DATABASE_URL: `postgres://127.0.0.1:${postgresAt.port}/postgres` },
      redis: { REDIS_URL: `rediss://127.0.0.1:${redisAt.port}` },
    };
  };
  const [kafka, places, old] = await Promise.all([
    kept(startSecuredKafka(folder)),
    stores(certificates.server),
    alsoExpired ? stores(certificates.expired) : null,
  ]);
  const brokers = kafka.administrator['KAFKA_BROKERS'] ?? '';
  const oldKafka = await kept(tlsProxy(new URL(`http://${brokers}`), certificates.expired));
  const ca = file('ca.pem', certificates.ca.certificate);
  return {
    folder,
    kafka,
    variables: {
      kafka: kafka.administrator,
      registry: {
        ...places.registry,
        SCHEMA_REGISTRY_USERNAME: 'ann',
        SCHEMA_REGISTRY_PASSWORD: SECRETS.registry,
        SCHEMA_REGISTRY_CA_LOCATION: ca,
      },
      postgres: {
        ...places.postgres,
        DATABASE_USERNAME: 'millrace',
        DATABASE_PASSWORD_FILE: file('postgres-password', `${SECRETS.postgres}\n`),
        DATABASE_CA_LOCATION: ca,
      },
      redis: {
        ...places.redis,
        REDIS_USERNAME: 'ann',
        REDIS_PASSWORD: SECRETS.redis,
        REDIS_CA_LOCATION: ca,
      },
      influx: {
        ...places.influx,
        INFLUX_TOKEN: SECRETS.influx,
        INFLUX_CA_LOCATION: ca,
        INFLUX_ORG: bucket.org,
        INFLUX_BUCKET: bucket.bucket,
      },
    },
    expired: {
      kafka: { KAFKA_BROKERS: `127.0.0.1:${oldKafka.port}`, KAFKA_SSL_CA_LOCATION: ca },
      ...(old ?? places),
    },
    otherAuthority: file('other.pem', certificates.other.certificate),
    stop: async () => {
      await Promise.all(stops.map((stop) => stop()));
      rmSync(folder, { recursive: true, force: true });
    },
  };
};
