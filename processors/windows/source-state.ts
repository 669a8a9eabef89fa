import type { EpochMs } from '../../schemas/brand.js';

/** Store key of a source partition's state, among its partials' keys (which begin with a digit). */
export const SOURCE_KEY = 'source';

/** How far one partition of `feedback` has been counted. */
export interface SourceState {
  readonly is: 'source';
  /** The partition. */
  readonly source: number;
  /** Transactions with records, so far. */
  readonly batch: number;
  /** Within the transaction that made it; what is committed says false. */
  readonly staged: boolean;
  /** Event time. */
  watermark: EpochMs;
  /** Wall clock: the last record, or the take-over. */
  readonly activeAt: EpochMs;
  /** Wall clock: the last idle mark. */
  readonly markedAt: EpochMs;
  /** Wall clock: the last snapshots. */
  readonly emittedAt: EpochMs;
  readonly emittedWatermark: EpochMs;
  /** Keys of partials that changed since the last snapshots. */
  readonly dirty: Record<string, true>;
  /** Feedback of this transaction that was too late for its window. */
  droppedNow: number;
  /** Windows that ended before it are forgotten. */
  readonly prunedTo: EpochMs;
}

export const newSource = (source: number, now: EpochMs): SourceState => ({
  is: 'source',
  source,
  batch: 0,
  staged: false,
  watermark: 0,
  activeAt: now,
  markedAt: 0,
  emittedAt: 0,
  emittedWatermark: 0,
  dirty: {},
  droppedNow: 0,
  prunedTo: 0,
});

/** This transaction's copy of the source state, staged when it is first asked for. */
export const openSource = (
  found: SourceState | { readonly is: 'partial' } | undefined,
  source: number,
  now: EpochMs,
  stage: (value: SourceState) => void,
): SourceState => {
  const known = found?.is === 'source' ? found : newSource(source, now);
  if (known.staged) return known;
  const mine: SourceState = {
    ...known,
    batch: known.batch + 1,
    staged: true,
    activeAt: now,
    dirty: { ...known.dirty },
    droppedNow: 0,
  };
  stage(mine);
  return mine;
};
