import type { StateStore } from '../../processors/processor.js';
import type { EpochMs } from '../../schemas/brand.js';
import type { Codec } from '../../schemas/record.js';

/** A staged change as its changelog has it; the key is the store's own. */
export interface ChangelogEntry {
  readonly key: string;
  readonly value: Buffer | null;
}

/** A store while it is read back from its changelog. */
export interface Restoring {
  /** Every entry of its own, oldest first. */
  readonly take: (key: string, value: Buffer | null) => void;
  /** What in `done`'s values may be registry-framed: another release may have written it, so its schemas are fetched first. */
  readonly values: () => readonly Buffer[];
  /** Replaces everything, staged changes too, by what the changelog says. */
  readonly done: () => void;
}

/** What the runtime does with state of any kind. */
export interface Store {
  /** What the open transaction writes to the changelog. */
  readonly changelog: (codec: Codec<unknown>) => Iterable<ChangelogEntry>;
  /** The transaction is known to have committed. */
  readonly apply: () => void;
  readonly drop: () => void;
  readonly restoring: (codec: Codec<unknown>, now: EpochMs) => Restoring;
}

/**
 * One store of one partition: what is committed, and what the open transaction stages over it (rule 5).
 * Staged changes show at once to later decisions of the batch and are dropped by an abort.
 */
export class StagedStore<V> implements StateStore<V>, Store {
  readonly kind = 'map';
  private committed = new Map<string, V>();
  private readonly staged = new Map<string, V | null>();

  get(key: string): V | undefined {
    if (this.staged.size > 0) {
      const change = this.staged.get(key);
      if (change !== undefined) return change ?? undefined;
    }
    return this.committed.get(key);
  }

  *entries(): MapIterator<[string, V]> {
    for (const [key, value] of this.committed) {
      if (!this.staged.has(key)) yield [key, value];
    }
    for (const [key, value] of this.staged) {
      if (value !== null) yield [key, value];
    }
  }

  put(key: string, value: V | null): void {
    this.staged.set(key, value);
  }

  /** What the transaction writes to the changelog: the last change of each key. */
  get changes(): ReadonlyMap<string, V | null> {
    return this.staged;
  }

  *changelog(codec: Codec<unknown>): Generator<ChangelogEntry> {
    for (const [key, value] of this.staged)
      yield { key, value: value === null ? null : codec.encode(value) };
  }

  apply(): void {
    for (const [key, value] of this.staged) {
      if (value === null) this.committed.delete(key);
      else this.committed.set(key, value);
    }
    this.staged.clear();
  }

  drop(): void {
    this.staged.clear();
  }

  restoring(codec: Codec<unknown>): Restoring {
    const latest = new Map<string, Buffer>();
    return {
      take: (key, value) => {
        if (value === null) latest.delete(key);
        else latest.set(key, value);
      },
      values: () => [...latest.values()].map((value) => framedIn(codec, value)),
      done: () => {
        this.restore(new Map([...latest].map(([key, value]) => [key, codec.decode(value) as V])));
      },
    };
  }

  /** Replaces everything by what the changelog says. */
  restore(entries: Map<string, V>): void {
    this.staged.clear();
    this.committed = entries;
  }

  get size(): number {
    return this.committed.size;
  }
}

/** The part of a state value that has a schema in the registry, if any. */
export const framedIn = ({ framed }: Codec<unknown>, value: Buffer): Buffer =>
  framed === undefined ? value : framed(value);
