import { randomBytes } from 'node:crypto';
import pg from 'pg';
import type { SchemaRegistry } from '../../schemas/registry.js';
import { schemaRegistry } from '../../schemas/registry.js';
import type { Codecs } from '../../schemas/topic-codecs.js';
import { openCodecs } from '../../schemas/topic-codecs.js';
import { migrate } from '../../sinks/postgres/migrate.js';
import type { Database } from '../../sinks/postgres/pool.js';
import { openDatabase } from '../../sinks/postgres/pool.js';
import type { KafkaEnvironment } from '../../topologies/config.js';
import { readEnvironment } from '../../topologies/config.js';
import type { TopicNames } from '../../topologies/topic-names.js';
import { topicNames } from '../../topologies/topic-names.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import { topicSchemas } from '../../topologies/topic-table.js';
import { CONFIG_FOLDER, businessConfig, tableOf } from '../cli/installation.js';
import { withAdmin } from '../cli/kafka-admin.js';
import { createTopics } from '../topics/cluster.js';
import { registerAll } from '../topics/register-all.js';

/** Topics and tables of a test file's own on the running stack. */
export interface ScratchInstallation {
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly kafka: KafkaEnvironment;
  readonly names: TopicNames;
  readonly codecs: Codecs;
  readonly database: Database;
  readonly remove: () => Promise<void>;
}

/** Only the topics that the test names: making all of them takes seconds. */
export const scratchInstallation = async (
  wanted: (spec: TopicSpec, names: TopicNames) => boolean,
  partitions = 2,
): Promise<ScratchInstallation> => {
  const id = randomBytes(4).toString('hex');
  const variables = {
    ...process.env,
    TOPIC_PREFIX: `test-operator-${id}.`,
    DATABASE_SCHEMA: `test_operator_${id}`,
  };
  const {
    kafka,
    postgres,
    registry: address,
  } = readEnvironment(variables, ['kafka', 'postgres', 'registry']);
  const names = topicNames(kafka.prefix);
  const table: readonly TopicSpec[] = tableOf(businessConfig(CONFIG_FOLDER), kafka.prefix, {
    partitions,
  }).filter((spec) => wanted(spec, names));
  await withAdmin(kafka, (admin) => createTopics(admin, table, () => undefined));
  const registry: SchemaRegistry = schemaRegistry(address);
  await registerAll(registry, topicSchemas(table));
  await migrate(postgres.url, postgres.schema);
  const database = openDatabase({
    databaseUrl: postgres.url,
    schema: postgres.schema,
    maxConnections: 2,
  });
  return {
    variables,
    kafka,
    names,
    codecs: await openCodecs(registry, topicSchemas(table)),
    database,
    remove: async () => {
      await database.close();
      await registry.close();
      await withAdmin(kafka, (admin) =>
        admin.deleteTopics({ topics: table.map(({ name }) => name) }),
      );
      const client = new pg.Client({ connectionString: postgres.url });
      await client.connect();
      await client.query(`drop schema ${client.escapeIdentifier(postgres.schema)} cascade`);
      await client.end();
    },
  };
};
