import { ID_BYTES } from '../../schemas/id-batch.js';
import { IdTable } from './id-table.js';

/** Ids sorted at a time: 7 MB of arrays, whatever comes. */
const CHUNK = 1 << 18;
/** By the first 12 bits, which is the order of the table: a piece of it stays in the processor's cache meanwhile. */
const PIECES = 1 << 12;
const SHIFT = 32 - 12;
const WORDS = ID_BYTES / 4;

/**
 * Fills a table with millions of ids. Each id of its own would be a cache miss or two; in the order of the table it is
 * a third of the time (10 million ids: 2 s instead of 6 s of CPU, measured).
 */
export class IdLoader {
  private readonly table = new IdTable('loading');
  private readonly words = new Int32Array(CHUNK * WORDS);
  private readonly hours = new Int32Array(CHUNK);
  private readonly order = new Uint32Array(CHUNK);
  private count = 0;

  /** All ids of a packed batch. */
  add(ids: Buffer, hour: number): void {
    const { words, hours } = this;
    for (let at = 0; at < ids.length; at += ID_BYTES) {
      const to = this.count * WORDS;
      words[to] = ids.readInt32LE(at);
      words[to + 1] = ids.readInt32LE(at + 4);
      words[to + 2] = ids.readInt32LE(at + 8);
      words[to + 3] = ids.readInt32LE(at + 12);
      hours[this.count] = hour;
      this.count += 1;
      if (this.count === CHUNK) this.flush();
    }
  }

  /** The table, in as little memory as it may have. */
  done(): IdTable {
    this.flush();
    this.table.fit();
    return this.table;
  }

  private flush(): void {
    const { words, hours, order, count, table } = this;
    const starts = new Uint32Array(PIECES + 1);
    const pieceOf = (index: number): number => (words[index * WORDS] ?? 0) >>> SHIFT;
    for (let index = 0; index < count; index++) {
      const next = pieceOf(index) + 1;
      starts[next] = (starts[next] ?? 0) + 1;
    }
    for (let piece = 1; piece <= PIECES; piece++)
      starts[piece] = (starts[piece] ?? 0) + (starts[piece - 1] ?? 0);
    for (let index = 0; index < count; index++) {
      const piece = pieceOf(index);
      const place = starts[piece] ?? 0;
      order[place] = index;
      starts[piece] = place + 1;
    }
    table.reserve(count);
    for (let place = 0; place < count; place++) {
      const index = order[place] ?? 0;
      const at = index * WORDS;
      table.put(
        hours[index] ?? 0,
        words[at] ?? 0,
        words[at + 1] ?? 0,
        words[at + 2] ?? 0,
        words[at + 3] ?? 0,
      );
    }
    this.count = 0;
  }
}
