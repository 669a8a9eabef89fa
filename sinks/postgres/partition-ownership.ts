import { PipelineError } from '../../schemas/error.js';
import { numberArray, textArray } from './array-literal.js';
import type { Database } from './pool.js';

interface Partition {
  readonly topic: string;
  readonly partition: number;
}

const TAKE_OVER = {
  name: 'take-over-partitions',
  text: 'select * from take_over_partitions($1, $2)',
};

const nameOf = ({ topic, partition }: Partition): string => `${topic}\0${partition.toString()}`;

/**
 * Under which epochs a worker owns partitions in Postgres (rule 18). What it asks about their records says so; Postgres
 * answers one row `not_the_owner`, and does nothing, where another has taken over since. One for all that asks about the
 * same partitions: taking over twice makes the first epoch the older one.
 */
export interface PartitionOwnership {
  /** @throws PipelineError postgres_unavailable (retry) | postgres_refused (stop) */
  readonly takeOver: (partitions: readonly Partition[]) => Promise<void>;
  /** Topics, partitions and epochs of these records, each partition once, as owns() takes them. */
  readonly parameters: (partitions: readonly Partition[]) => readonly string[];
}

const NOT_THE_OWNER = 'not_the_owner';

/** @throws PipelineError ownership_lost (retry) where this is what Postgres answered */
export const stillOwned = <R extends { readonly outcome: string }>(
  rows: readonly (R | { readonly outcome: typeof NOT_THE_OWNER })[],
): readonly R[] => {
  if (rows[0]?.outcome === NOT_THE_OWNER)
    throw new PipelineError(
      'ownership_lost',
      'another worker has taken these partitions over: nothing was written for their records',
    );
  return rows as readonly R[];
};

export const partitionOwnership = (database: Database): PartitionOwnership => {
  /** What was lost stays until it is taken over again, and is refused. */
  const epochs = new Map<string, bigint>();
  return {
    async takeOver(partitions) {
      const rows = await database.query<{ place: number; epoch: bigint }>(TAKE_OVER, [
        textArray(partitions.map(({ topic }) => topic)),
        numberArray(partitions.map(({ partition }) => partition)),
      ]);
      for (const { place, epoch } of rows) {
        const taken = partitions[place - 1];
        if (taken !== undefined) epochs.set(nameOf(taken), epoch);
      }
    },

    parameters(partitions) {
      const sources = [...new Map(partitions.map((one) => [nameOf(one), one])).values()];
      return [
        textArray(sources.map(({ topic }) => topic)),
        numberArray(sources.map(({ partition }) => partition)),
        numberArray(
          sources.map((source) => {
            const epoch = epochs.get(nameOf(source));
            if (epoch === undefined)
              throw new PipelineError(
                'defect',
                `${source.topic}/${source.partition.toString()} was not taken over before its records were asked about`,
              );
            return epoch;
          }),
        ),
      ];
    },
  };
};
