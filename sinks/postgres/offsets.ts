import type { EpochMs } from '../../schemas/brand.js';
import { numberArray, textArray } from './array-literal.js';
import type { Database } from './pool.js';
import { sqlQuery } from './sql-files.js';

interface Partition {
  readonly topic: string;
  readonly partition: number;
}

interface Slice extends Partition {
  readonly start: number;
  readonly next: number;
}

/**
 * Next offsets of a consumer that stores them with its effect, in the order asked; where there is no row, one is made
 * with the partition's beginning.
 */
export const loadOffsets = async (
  database: Database,
  consumer: string,
  partitions: readonly (Partition & { readonly beginning: number })[],
): Promise<readonly number[]> => {
  const rows = await database.query<{ next_offset: bigint }>(sqlQuery('load-offsets'), [
    consumer,
    textArray(partitions.map(({ topic }) => topic)),
    numberArray(partitions.map(({ partition }) => partition)),
    numberArray(partitions.map(({ beginning }) => beginning)),
  ]);
  return rows.map(({ next_offset: next }) => Number(next));
};

/** Slices as functions that move offsets take them: topics, partitions, starts, nexts. */
export const sliceParameters = (slices: readonly Slice[]): readonly string[] => [
  textArray(slices.map(({ topic }) => topic)),
  numberArray(slices.map(({ partition }) => partition)),
  numberArray(slices.map(({ start }) => start)),
  numberArray(slices.map(({ next }) => next)),
];

/** The partitions at these places, from 1. */
export const partitionsAt = (
  slices: readonly Slice[],
  places: readonly number[],
): readonly Partition[] =>
  places.flatMap((place) => {
    const slice = slices[place - 1];
    return slice === undefined ? [] : [{ topic: slice.topic, partition: slice.partition }];
  });

/**
 * The consumer has stored all that these partitions held at `at` (our clock). Without it an idle partition would hold
 * `passed` back for ever.
 */
export const caughtUp = async (
  database: Database,
  consumer: string,
  partitions: readonly Partition[],
  at: EpochMs,
): Promise<void> => {
  await database.query(sqlQuery('offsets-caught-up'), [
    consumer,
    textArray(partitions.map(({ topic }) => topic)),
    numberArray(partitions.map(({ partition }) => partition)),
    new Date(at).toISOString(),
  ]);
};

/** What all of these consumers have stored on every partition: all records before this time; null: not known yet. */
export const passed = async (
  database: Database,
  consumers: readonly string[],
): Promise<EpochMs | null> => {
  const [row] = await database.query<{ passed: number | null }>(sqlQuery('offsets-passed'), [
    textArray(consumers),
  ]);
  return row?.passed ?? null;
};
