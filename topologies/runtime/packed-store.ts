import { PipelineError } from '../../schemas/error.js';
import type { Codec } from '../../schemas/record.js';
import { type BlockEntry, blockCodec, entryBytes } from './block-codec.js';
import { type ChangelogEntry, type Restoring, StagedStore, framedIn } from './state-store.js';

/** A block is closed beyond this, so that a batch of large entries stays below its topic's max.message.bytes. */
const BLOCK_BYTES = 256 * 1024;

/** Entries that one changelog record holds. */
interface Block {
  /** Of its record: `b<number>`, or the entry's own key where a release before blocks wrote it. */
  readonly key: string;
  readonly size: number;
  /** One bit an entry: it is gone. Null: none is. Its record is part of the block, in whose version it is. */
  gone: Buffer | null;
  left: number;
}

interface Place {
  readonly block: Block;
  readonly index: number;
}

/** What the open transaction does to blocks; done once it has committed. */
interface Plan {
  readonly added: ReadonlyMap<string, Place>;
  /** By block: its bits afterwards, and how many entries are then left. */
  readonly removed: ReadonlyMap<Block, { readonly gone: Buffer; readonly left: number }>;
  readonly next: number;
}

const BLOCK_KEY = /^b(\d+)$/;
const GONE_KEY = /^g(\d+)$/;
const goneKey = (block: Block): string => `g${block.key.slice(1)}`;

/**
 * A store whose entries come by the thousand and soon go again (claims): what one transaction puts is one changelog record,
 * a block; what it removes is a bit each in the block's second record, or, with the last of a block, two tombstones.
 * An entry record by record would cost two records a message, a quarter of all that the pipeline writes.
 */
export class PackedStore<V> extends StagedStore<V> {
  private readonly places = new Map<string, Place>();
  private nextNumber = 0;
  private plan: Plan | null = null;
  private readonly blocks: Codec<readonly BlockEntry[]>;

  constructor(blocks: Codec<readonly BlockEntry[]> = blockCodec()) {
    super();
    this.blocks = blocks;
  }

  override *changelog(codec: Codec<unknown>): Generator<ChangelogEntry> {
    const added = new Map<string, Place>();
    const removed = new Map<Block, { gone: Buffer; left: number }>();
    let next = this.nextNumber;
    let entries: BlockEntry[] = [];
    let bytes = 0;
    const close = (): ChangelogEntry => {
      const block: Block = {
        key: `b${next}`,
        size: entries.length,
        gone: null,
        left: entries.length,
      };
      entries.forEach(({ key }, index) => added.set(key, { block, index }));
      const value = this.blocks.encode(entries);
      next += 1;
      entries = [];
      bytes = 0;
      return { key: block.key, value };
    };
    for (const [key, value] of this.changes) {
      const place = this.places.get(key);
      if (place !== undefined) remove(place, removed);
      if (value === null) continue;
      const entry = { key, value: codec.encode(value) };
      const more = entryBytes(entry);
      if (entries.length > 0 && bytes + more > BLOCK_BYTES) yield close();
      entries.push(entry);
      bytes += more;
    }
    if (entries.length > 0) yield close();
    for (const [block, { gone, left }] of removed) {
      if (left > 0) {
        yield { key: goneKey(block), value: gone };
        continue;
      }
      yield { key: block.key, value: null };
      if (block.gone !== null) yield { key: goneKey(block), value: null };
    }
    this.plan = { added, removed, next };
  }

  override apply(): void {
    if (this.changes.size > 0) {
      if (this.plan === null)
        throw new PipelineError('defect', 'a packed store is applied after its changelog is made');
      for (const [key, value] of this.changes) if (value === null) this.places.delete(key);
      for (const [key, place] of this.plan.added) this.places.set(key, place);
      for (const [block, { gone, left }] of this.plan.removed) {
        block.gone = gone;
        block.left = left;
      }
      this.nextNumber = this.plan.next;
    }
    this.plan = null;
    super.apply();
  }

  override drop(): void {
    this.plan = null;
    super.drop();
  }

  override restoring(codec: Codec<unknown>): Restoring {
    const latest = new Map<string, Buffer>();
    let next = 0;
    let decoded: readonly (BlockEntry & Place)[] | null = null;
    /** Entries that are left, with their places: decoded once for `values` and `done`. */
    const read = (): readonly (BlockEntry & Place)[] =>
      (decoded ??= [...latest].flatMap(([key, value]) => {
        if (GONE_KEY.test(key)) return [];
        const entries = BLOCK_KEY.test(key) ? this.blocks.decode(value) : [{ key, value }];
        const gone = latest.get(`g${key.slice(1)}`) ?? null;
        const block: Block = { key, size: entries.length, gone, left: 0 };
        const left = entries.flatMap((entry, index) =>
          isGone(gone, index) ? [] : [{ ...entry, block, index }],
        );
        block.left = left.length;
        return left;
      }));
    return {
      take: (key, value) => {
        decoded = null;
        // Tombstones too: a number whose end compaction has not yet taken is not used again.
        next = Math.max(next, Number((BLOCK_KEY.exec(key) ?? GONE_KEY.exec(key))?.[1] ?? -1) + 1);
        if (value === null) latest.delete(key);
        else latest.set(key, value);
      },
      values: () => read().map(({ value }) => framedIn(codec, value)),
      done: () => {
        const entries = read();
        this.plan = null;
        this.restore(
          new Map(entries.map(({ key, value }) => [key, codec.decode(value) as V] as const)),
        );
        this.places.clear();
        for (const { key, block, index } of entries) this.places.set(key, { block, index });
        this.nextNumber = next;
      },
    };
  }
}

const remove = (
  { block, index }: Place,
  removed: Map<Block, { gone: Buffer; left: number }>,
): void => {
  let change = removed.get(block);
  if (change === undefined) {
    const gone =
      block.gone === null ? Buffer.alloc(Math.ceil(block.size / 8)) : Buffer.from(block.gone);
    removed.set(block, (change = { gone, left: block.left }));
  }
  change.gone[index >> 3] = (change.gone[index >> 3] ?? 0) | (1 << (index & 7));
  change.left -= 1;
};

const isGone = (gone: Buffer | null, index: number): boolean =>
  gone !== null && ((gone[index >> 3] ?? 0) & (1 << (index & 7))) !== 0;
