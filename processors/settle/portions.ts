import type { PartitionSlice } from '../../schemas/record.js';

/**
 * The same records in portions of at most so much (and at least one record), each partition's in order: a slice's next
 * portion begins where the last one ended.
 */
export function* portions<V>(
  slices: readonly PartitionSlice<V>[],
  weigh: (value: V) => number,
  most: number,
): Generator<readonly PartitionSlice<V>[]> {
  let portion: PartitionSlice<V>[] = [];
  let weight = 0;
  for (const slice of slices) {
    let { start } = slice;
    let records: (typeof slice.records)[number][] = [];
    for (const record of slice.records) {
      const own = weigh(record.value);
      if (weight > 0 && weight + own > most) {
        if (records.length > 0) {
          portion.push({ ...slice, start, next: record.at.offset, records });
          start = record.at.offset;
          records = [];
        }
        yield portion;
        portion = [];
        weight = 0;
      }
      records.push(record);
      weight += own;
    }
    portion.push({ ...slice, start, records });
  }
  if (portion.length > 0) yield portion;
}
