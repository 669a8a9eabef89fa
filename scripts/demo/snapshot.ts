import type { BreakerLevel } from '../../schemas/generated/records.js';
import type { Counters } from '../../sinks/postgres/counters.js';
import type { EndStates } from './accounting.js';
import type { WorkerFigures } from './worker.js';

/** A moment of the demo, as the view shows it. */
export interface Snapshot {
  readonly seconds: number;
  readonly phase: string;
  /** Records wanted in all. */
  readonly messages: number;
  readonly states: EndStates;
  readonly channels: readonly {
    readonly name: string;
    readonly attempts: number;
    readonly errors: number;
  }[];
  readonly levels: readonly BreakerLevel[];
  readonly figures: WorkerFigures | undefined;
  /** Records a second by stage, over the last moments. */
  readonly rates: ReadonlyMap<string, number>;
  /** Cash of all accounts. */
  readonly cash: Counters | undefined;
}

export const sumOf = (counts: Readonly<Partial<Record<string, number>>>): number =>
  Object.values(counts).reduce<number>((sum, count) => sum + (count ?? 0), 0);
