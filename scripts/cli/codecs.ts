import type { RegistryOptions, SchemaRegistry } from '../../schemas/registry.js';
import { schemaRegistry } from '../../schemas/registry.js';
import type { Codecs } from '../../schemas/topic-codecs.js';
import { openCodecs } from '../../schemas/topic-codecs.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import { topicSchemas } from '../../topologies/topic-table.js';

/** Runs with codecs for these topics, and closes the registry's connections: they would keep the process alive. */
export const withCodecs = async <T>(
  address: RegistryOptions,
  topics: readonly TopicSpec[],
  run: (codecs: Codecs, registry: SchemaRegistry) => Promise<T>,
): Promise<T> => {
  const registry = schemaRegistry(address);
  try {
    return await run(await openCodecs(registry, topicSchemas(topics)), registry);
  } finally {
    await registry.close();
  }
};
