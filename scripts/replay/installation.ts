import { channelsOf, policyOf, templatesOf, tenantsOf } from '../../processors/configuration.js';
import type { ConfigTable } from '../../processors/configuration.js';
import type { Tariff } from '../../processors/budget-reserve/worst-case.js';
import type { SchemaRegistry } from '../../schemas/registry.js';
import { schemaRegistry } from '../../schemas/registry.js';
import type { Codecs } from '../../schemas/topic-codecs.js';
import { openCodecs } from '../../schemas/topic-codecs.js';
import type { Environment } from '../../topologies/config.js';
import type { TopicNames } from '../../topologies/topic-names.js';
import { topicNames } from '../../topologies/topic-names.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import { topicTable } from '../../topologies/topic-table.js';
import { publishedConfig } from '../config/published.js';

/** An installation as its published configuration describes it: what workers follow, not what lies in a folder. */
export interface PublishedInstallation {
  readonly names: TopicNames;
  readonly table: readonly TopicSpec[];
  readonly config: ConfigTable;
  readonly codecs: Codecs;
  readonly registry: SchemaRegistry;
}

/** @throws PipelineError config_invalid where nothing is published */
export const withPublished = async <T>(
  { kafka, registry: address }: Pick<Environment, 'kafka' | 'registry'>,
  run: (installation: PublishedInstallation) => Promise<T>,
): Promise<T> => {
  const registry = schemaRegistry(address);
  try {
    const names = topicNames(kafka.prefix);
    const codecs = await openCodecs(registry, [{ topic: names.config, record: 'ConfigEntry' }]);
    const published = await publishedConfig(kafka, codecs);
    const entries = new Map([...published.values()].map((entry) => [`${entry.kind}/all`, entry]));
    const config: ConfigTable = {
      get: (key) => entries.get(key),
      entries: () => entries.entries(),
    };
    const table = topicTable({
      prefix: kafka.prefix,
      channels: [...channelsOf(config).keys()],
      tenantsWithOwnIngest: [...tenantsOf(config).values()]
        .filter(({ ownIngest }) => ownIngest)
        .map(({ id }) => id),
    });
    return await run({ names, table, config, codecs, registry });
  } finally {
    await registry.close();
  }
};

/** Today's prices. */
export const tariffOf = (config: ConfigTable): Tariff => ({
  tenants: tenantsOf(config),
  templates: templatesOf(config),
  channels: channelsOf(config),
  policy: policyOf(config),
});
