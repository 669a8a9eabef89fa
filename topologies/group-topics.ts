import { LANES } from '../schemas/generated/records.js';
import type { TaskDescription } from './describe.js';
import type { WorkerGroup } from './main.js';
import type { TopicNames } from './topic-names.js';

export interface GroupTopics {
  readonly reads: ReadonlySet<string>;
  readonly writes: ReadonlySet<string>;
}

/** Which worker group runs a topology. */
export const groupOfTopology = (topology: string): WorkerGroup => {
  const first = topology.split('.')[0] ?? '';
  return first === 'intake' || first === 'send' || first === 'again' || first === 'windows'
    ? first
    : 'settle';
};

/** Sinks are no stages: what they read is not in the plan. */
const sinkReads = (group: WorkerGroup, names: TopicNames): readonly string[] => {
  switch (group) {
    case 'settle':
      return [names.feedback, names.refused, ...LANES.map((lane) => names.internal.spends(lane))];
    case 'windows':
      return [names.windows, names.breakerLevels];
    case 'intake':
    case 'send':
    case 'again':
      return [];
  }
};

/**
 * What a worker group reads and writes, by the wiring: a worker requires these topics and no others, and its access
 * rules name these and no others.
 */
export const groupTopics = (
  group: WorkerGroup,
  names: TopicNames,
  plan: readonly TaskDescription[],
): GroupTopics => {
  const tasks = plan.filter(({ topology }) => groupOfTopology(topology) === group);
  const stages = tasks.flatMap((task) => task.stages);
  const reads = new Set([
    ...stages.flatMap((stage) => [...stage.reads, ...stage.state, ...stage.tables]),
    ...sinkReads(group, names),
    // Every worker looks up channels and lanes first.
    names.config,
  ]);
  const writes = new Set([
    ...stages.flatMap((stage) => [...stage.writes, ...stage.state]),
    names.deadLetters,
    // The callback endpoint writes what carriers push; a chore, what became of the accounts.
    ...(group === 'settle' ? [names.receipts, names.accounts] : []),
  ]);
  // Chained stages hand records over in memory; reading those topics back is not needed.
  for (const { stages: chained } of tasks)
    for (const [index, stage] of chained.entries())
      if (index > 0) for (const name of stage.reads) reads.delete(name);
  return { reads, writes };
};
