import type { GlobalTable } from '../../processors/processor.js';
import type { Topic } from '../../schemas/record.js';
import { type AnyStage, topicsOf } from '../topology.js';
import { type ChainStage, inputsOf } from './chain.js';

/** Stages as the chain runs them; `table` answers for a global table's topic. */
export const chainStages = (
  stages: readonly AnyStage[],
  ports: object,
  table: (topic: Topic<unknown>) => GlobalTable<unknown>,
): ChainStage[] =>
  stages.map((definition) => ({
    name: definition.name,
    definition,
    ports,
    inputs: inputsOf(definition),
    handovers: new Map(),
    tables: Object.fromEntries(
      Object.entries(definition.wire.tables ?? {}).flatMap(([name, wired]) =>
        topicsOf(wired).map((topic) => [name, table(topic)]),
      ),
    ),
  }));

/** `<stage>/<store>` to its changelog. */
export const changelogsOf = (stages: readonly AnyStage[]): ReadonlyMap<string, Topic<unknown>> =>
  new Map(
    stages.flatMap(({ name, wire }) =>
      Object.entries(wire.state ?? {}).flatMap(([store, wired]) =>
        topicsOf(wired).map((topic) => [`${name}/${store}`, topic] as const),
      ),
    ),
  );

/**
 * What a task consumes: inputs that no earlier stage of the same task produces. What an earlier stage hands over is
 * written for others to read, not read back by us; what a stage writes to its own input (retry) is.
 */
export const inputTopics = (stages: readonly AnyStage[]): ReadonlyMap<string, Topic<unknown>> => {
  const handedOver = new Set<string>();
  const inputs = new Map<string, Topic<unknown>>();
  for (const { wire } of stages) {
    for (const topic of Object.values(wire.from ?? {}).flatMap(topicsOf)) {
      if (!handedOver.has(topic.name)) inputs.set(topic.name, topic);
    }
    for (const name of namesOf(wire.to)) handedOver.add(name);
  }
  return inputs;
};

const namesOf = (wired: AnyStage['wire']['to']): string[] =>
  Object.values(wired ?? {}).flatMap((one) => topicsOf(one).map(({ name }) => name));
