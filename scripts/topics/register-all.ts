import type { Registration } from '../../schemas/registration.js';
import { registerSchemas } from '../../schemas/registration.js';
import type { SchemaRegistry } from '../../schemas/registry.js';
import type { TopicSchema } from '../../schemas/topic-codecs.js';

/** Subjects are independent; one after the other, 69 of them took 7 s. */
const AT_ONCE = 8;

/**
 * Registers all topics' schemas, several at once.
 * @throws PipelineError `schema_incompatible` naming a subject; others may have been registered.
 */
export const registerAll = async (
  registry: SchemaRegistry,
  topics: readonly TopicSchema[],
): Promise<readonly Registration[]> => {
  const [first, ...rest] = topics;
  // The first of a new registry defines what all others share; at once they would race to create the same content.
  const done = first === undefined ? [] : [...(await registerSchemas(registry, [first]))];
  const shares = Array.from({ length: AT_ONCE }, (_, share) =>
    rest.filter((_topic, index) => index % AT_ONCE === share),
  );
  const registered = await Promise.all(shares.map((share) => registerSchemas(registry, share)));
  return [...done, ...registered.flat()];
};
