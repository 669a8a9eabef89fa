import type { StateStore } from '../../processors/processor.js';

/**
 * One store of one partition: what is committed, and what the open transaction stages over it (rule 5).
 * Staged changes show at once to later decisions of the batch and are dropped by an abort.
 */
export class StagedStore<V> implements StateStore<V> {
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

  /** The transaction is known to have committed. */
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

  /** Replaces everything by what the changelog says. */
  restore(entries: Map<string, V>): void {
    this.staged.clear();
    this.committed = entries;
  }

  get size(): number {
    return this.committed.size;
  }
}
