import type { IdSet } from '../../processors/processor.js';
import type { EpochMs } from '../../schemas/brand.js';
import { PipelineError } from '../../schemas/error.js';
import { ID_BYTES, type IdBatch } from '../../schemas/id-batch.js';
import type { Codec } from '../../schemas/record.js';
import { IdLoader } from './id-loader.js';
import { IdTable } from './id-table.js';
import type { ChangelogEntry, Restoring, Store } from './state-store.js';

/** Ids come and go by the hour. */
const HOUR_MS = 3_600_000;

/**
 * One partition's set of ids that expire: what is committed, in a table off the JavaScript heap, and what the open
 * transaction stages over it (rule 5). An id stays for at least `spanMs`, and goes with the last of its hour. Its changelog
 * has one packed record a transaction, in a topic that expires by retention.
 */
export class IdSetStore implements IdSet, Store {
  readonly kind = 'ids';
  private committed = new IdTable();
  /** By their bytes as text, which is what a Map can look up. */
  private readonly staged = new Map<string, Buffer>();
  /** One time for all that a transaction adds: its changelog record carries it. */
  private stagedAt: EpochMs = 0;
  private readonly spanMs: number;

  constructor(spanMs: number) {
    this.spanMs = spanMs;
  }

  /** @throws PipelineError defect where the id has not 16 bytes */
  has(id: Buffer): boolean {
    whole(id);
    if (this.staged.size > 0 && this.staged.has(id.toString('latin1'))) return true;
    return this.committed.has(id);
  }

  /** @throws PipelineError defect where the id has not 16 bytes */
  add(id: Buffer, now: EpochMs): void {
    whole(id);
    if (this.staged.size === 0) this.stagedAt = now;
    this.staged.set(id.toString('latin1'), id);
  }

  /** Takes back what this transaction added; what is committed stays. */
  forget(id: Buffer): void {
    this.staged.delete(id.toString('latin1'));
  }

  *changelog(codec: Codec<unknown>): Generator<ChangelogEntry> {
    if (this.staged.size === 0) return;
    // A batch has 10,000 records at most (lanes.yaml): 160 kB.
    const ids = Buffer.concat([...this.staged.values()]);
    yield { key: '', value: codec.encode({ addedAt: this.stagedAt, ids } satisfies IdBatch) };
  }

  apply(): void {
    if (this.staged.size === 0) return;
    const hour = hourOf(this.stagedAt);
    for (const id of this.staged.values()) this.committed.add(id, hour);
    this.staged.clear();
  }

  drop(): void {
    this.staged.clear();
  }

  /** Drops the hours whose last id is older than the span. */
  expire(now: EpochMs): void {
    this.committed.expire((one) => this.isOver(one, now));
  }

  /** Old and new stand side by side until `done`: a restore that fails leaves the store as it was. */
  restoring(codec: Codec<unknown>, now: EpochMs): Restoring {
    const loader = new IdLoader();
    return {
      take: (_key, value) => {
        if (value === null) return;
        const { addedAt, ids } = codec.decode(value) as IdBatch;
        const hour = hourOf(addedAt);
        if (this.isOver(hour, now)) return;
        loader.add(ids, hour);
      },
      values: () => [],
      done: () => {
        this.staged.clear();
        this.committed = loader.done();
      },
    };
  }

  /** Committed ids. */
  get size(): number {
    return this.committed.size;
  }

  /** Of the table, all of it outside the JavaScript heap. */
  get bytes(): number {
    return this.committed.bytes;
  }

  private isOver(hour: number, now: EpochMs): boolean {
    return (hour + 1) * HOUR_MS + this.spanMs <= now;
  }
}

const whole = (id: Buffer): void => {
  if (id.length !== ID_BYTES)
    throw new PipelineError('defect', `an id has ${ID_BYTES} bytes, not ${id.length}`);
};

const hourOf = (at: EpochMs): number => Math.floor(at / HOUR_MS);
