import os from 'node:os';
import { ID_BYTES } from '../../schemas/id-batch.js';
import { IdTable } from './id-table.js';

const WORDS = ID_BYTES / 4;
/** Ids sorted at a time: what fits the processor's cache. */
const CHUNK = 1 << 17;
/** By the first 12 bits, which is the order of the table. */
const PIECES = 1 << 12;
const SHIFT = 32 - 12;
/** A table takes an id as four little-endian words. */
const SWAPPED = os.endianness() === 'BE';

/** Ids and their hours; sorted, piece n begins at starts[n]. */
interface Chunk {
  readonly words: Int32Array;
  readonly hours: Int32Array;
  readonly starts: Uint32Array;
}

/**
 * Makes a table of millions of ids. Put in as they come, each would cost cache misses and several copies while the table
 * grows; so they are kept, 20 bytes each, and put into a table of the right size in its own order.
 */
export class IdLoader {
  private readonly sorted: Chunk[] = [];
  private open = chunk(0);
  private count = 0;
  private total = 0;

  /** All ids of a packed batch. */
  add(ids: Buffer, hour: number): void {
    for (let from = 0; from < ids.length;) {
      if (this.open.hours.length === 0) this.open = chunk(CHUNK);
      const { words, hours } = this.open;
      const taken = Math.min(ids.length - from, (CHUNK - this.count) * ID_BYTES);
      new Uint8Array(words.buffer, this.count * ID_BYTES).set(ids.subarray(from, from + taken));
      hours.fill(hour, this.count, this.count + taken / ID_BYTES);
      this.count += taken / ID_BYTES;
      from += taken;
      if (this.count === CHUNK) this.close();
    }
  }

  /** The table; of an id that came twice, the later hour. */
  done(): IdTable {
    this.close();
    const table = new IdTable(this.total);
    for (let piece = 0; piece < PIECES; piece++) {
      for (const { words, hours, starts } of this.sorted) {
        const end = starts[piece + 1] ?? 0;
        for (let index = starts[piece] ?? 0; index < end; index++) {
          const at = index * WORDS;
          table.put(
            hours[index] ?? 0,
            words[at] ?? 0,
            words[at + 1] ?? 0,
            words[at + 2] ?? 0,
            words[at + 3] ?? 0,
          );
        }
      }
    }
    return table;
  }

  private close(): void {
    if (SWAPPED) Buffer.from(this.open.words.buffer).swap32();
    this.sorted.push(sorted(this.open, this.count));
    this.total += this.count;
    this.count = 0;
  }
}

const chunk = (size: number): Chunk => ({
  words: new Int32Array(size * WORDS),
  hours: new Int32Array(size),
  starts: new Uint32Array(PIECES + 1),
});

/** A counting sort, stable. */
const sorted = ({ words, hours }: Chunk, count: number): Chunk => {
  const to = chunk(count);
  const { starts } = to;
  const pieceOf = (index: number): number => (words[index * WORDS] ?? 0) >>> SHIFT;
  for (let index = 0; index < count; index++) {
    const next = pieceOf(index) + 1;
    starts[next] = (starts[next] ?? 0) + 1;
  }
  for (let piece = 1; piece <= PIECES; piece++)
    starts[piece] = (starts[piece] ?? 0) + (starts[piece - 1] ?? 0);
  const next = starts.slice();
  for (let index = 0; index < count; index++) {
    const piece = pieceOf(index);
    const place = next[piece] ?? 0;
    next[piece] = place + 1;
    for (let word = 0; word < WORDS; word++)
      to.words[place * WORDS + word] = words[index * WORDS + word] ?? 0;
    to.hours[place] = hours[index] ?? 0;
  }
  return to;
};
