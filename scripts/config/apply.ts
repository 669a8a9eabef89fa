import { createHash } from 'node:crypto';
import { userInfo } from 'node:os';
import { configKey } from '../../processors/configuration.js';
import type { BusinessConfig, ConfigKind } from '../../schemas/config.js';
import { CONFIG_KINDS } from '../../schemas/config.js';
import type { ConfigEntry } from '../../schemas/generated/records.js';
import type { Codecs } from '../../schemas/topic-codecs.js';
import { grantInitialBudgets } from '../../sinks/postgres/initial-grants.js';
import { migrate } from '../../sinks/postgres/migrate.js';
import { openDatabase } from '../../sinks/postgres/pool.js';
import { postgresQuotas } from '../../sinks/postgres/quotas.js';
import { postgresTransfers } from '../../sinks/postgres/transfers.js';
import type { Environment, KafkaEnvironment } from '../../topologies/config.js';
import { topicNames } from '../../topologies/topic-names.js';
import { RequestProducer } from '../produce/request-producer.js';
import type { Difference } from './differences.js';
import { differences } from './differences.js';
import type { Published } from './published.js';

export interface KindChange {
  readonly kind: ConfigKind;
  /** First time. */
  readonly added: boolean;
  readonly differences: readonly Difference[];
}

/** What would change for workers. */
export const changesOf = (config: BusinessConfig, published: Published): readonly KindChange[] =>
  CONFIG_KINDS.flatMap((kind) => {
    const entry = published.get(kind);
    const before: unknown = entry === undefined ? undefined : JSON.parse(entry.body);
    const after: unknown = JSON.parse(JSON.stringify(config[kind]));
    const found = differences(before, after);
    return found.length === 0 ? [] : [{ kind, added: entry === undefined, differences: found }];
  });

/**
 * Brings the tables up to this release, opens accounts that are new and grants their initial budgets, once each, and
 * makes the quotas those of the configuration.
 * @returns how many accounts were granted now, how many quotas were set, changed or lifted, and which migrations ran
 */
export const applyLedger = async (
  postgres: Environment['postgres'],
  config: BusinessConfig,
): Promise<{
  readonly granted: number;
  readonly quotas: number;
  readonly migrations: readonly string[];
}> => {
  const migrations = await migrate(postgres.url, postgres.schema);
  const database = openDatabase({
    databaseUrl: postgres.url,
    schema: postgres.schema,
    maxConnections: 1,
  });
  try {
    return {
      granted: await grantInitialBudgets(postgresTransfers(database), config.tenants),
      quotas: await postgresQuotas(database).set(config.tenants),
      migrations,
    };
  } finally {
    await database.close();
  }
};

/** Writes the changed kinds to the `config` topic; running workers follow at once. */
export const publishConfig = async (
  kafka: KafkaEnvironment,
  codecs: Codecs,
  config: BusinessConfig,
  kinds: readonly ConfigKind[],
): Promise<void> => {
  const topic = topicNames(kafka.prefix).config;
  const codec = codecs.of('ConfigEntry', topic);
  const producer = await RequestProducer.open(kafka, () => undefined);
  try {
    for (const kind of kinds)
      await producer.send({
        topic,
        key: configKey(kind),
        value: codec.encode(entryOf(kind, config)),
      });
    await producer.settle();
  } finally {
    await producer.close();
  }
};

const entryOf = (kind: ConfigKind, config: BusinessConfig): ConfigEntry => {
  const body = JSON.stringify(config[kind]);
  return {
    kind,
    name: 'all',
    version: createHash('sha256').update(body).digest('hex'),
    body,
    appliedAt: Date.now(),
    appliedBy: userInfo().username,
  };
};
