import { type AnyStage, topicsOf } from './topology.js';

/** One stage as it is wired, with topic names. */
export interface StageDescription {
  readonly stage: string;
  readonly reads: readonly string[];
  readonly writes: readonly string[];
  readonly state: readonly string[];
  readonly tables: readonly string[];
}

export interface TaskDescription {
  readonly topology: string;
  /** Chained: one task, one transaction. */
  readonly stages: readonly StageDescription[];
}

interface Described {
  readonly name: string;
  readonly tasks: readonly (readonly AnyStage[])[];
}

const names = (wired: AnyStage['wire'][keyof AnyStage['wire']]): string[] =>
  Object.values(wired ?? {}).flatMap((one) => topicsOf(one).map(({ name }) => name));

/** What is wired to what, as data. */
export const describeTopologies = (topologies: readonly Described[]): TaskDescription[] =>
  topologies.flatMap(({ name, tasks }) =>
    tasks.map((stages) => ({
      topology: name,
      stages: stages.map(({ name: stage, wire }) => ({
        stage,
        reads: names(wire.from),
        writes: names(wire.to),
        state: names(wire.state),
        tables: names(wire.tables),
      })),
    })),
  );

/** The description for people. */
export const asText = (tasks: readonly TaskDescription[]): string =>
  tasks
    .map(({ topology, stages }) =>
      [
        topology,
        ...stages.flatMap(({ stage, reads, writes, state, tables }) => [
          `  ${stage}`,
          `    reads   ${reads.join(', ')}`,
          `    writes  ${writes.join(', ')}`,
          ...(state.length > 0 ? [`    state   ${state.join(', ')}`] : []),
          ...(tables.length > 0 ? [`    tables  ${tables.join(', ')}`] : []),
        ]),
      ].join('\n'),
    )
    .join('\n\n');

/** The description as a Mermaid flow chart: tasks are boxes around their stages, topics are edges' ends. */
export const asMermaid = (tasks: readonly TaskDescription[]): string => {
  const ids = new Map<string, string>();
  const id = (name: string): string => {
    const known = ids.get(name) ?? `n${ids.size.toString()}`;
    ids.set(name, known);
    return known;
  };
  const lines = ['flowchart LR'];
  const edges: string[] = [];
  for (const [index, { topology, stages }] of tasks.entries()) {
    lines.push(`  subgraph t${index.toString()}["${topology}"]`);
    for (const { stage, reads, writes } of stages) {
      const box = id(`stage ${index.toString()} ${stage}`);
      lines.push(`    ${box}["${stage}"]`);
      for (const topic of reads) edges.push(`  ${id(topic)}[/"${topic}"/] --> ${box}`);
      for (const topic of writes) edges.push(`  ${box} --> ${id(topic)}[/"${topic}"/]`);
    }
    lines.push('  end');
  }
  return [...lines, ...edges].join('\n');
};
