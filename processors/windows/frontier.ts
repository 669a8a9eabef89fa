import type { EpochMs } from '../../schemas/brand.js';
import type { WindowsConfig } from '../../schemas/config.js';
import type { MergeClock } from './merge-state.js';

/** Event times up to which sources have been heard. */
export interface Frontier {
  /** Of all source partitions. */
  readonly complete: EpochMs;
  /** Of those that are not silent; at least `complete`. */
  readonly reached: EpochMs;
}

/**
 * Silence is not idleness: an idle source says so and keeps its watermark at the wall clock; a silent one has said
 * nothing at all for `silenceMs`, so its task is down or cut off, and windows close without it, as incomplete.
 */
export const frontierOf = (
  { sources, resumedAt }: MergeClock,
  sourcePartitions: number,
  now: EpochMs,
  { silenceMs }: Pick<WindowsConfig, 'silenceMs'>,
): Frontier => {
  let complete = Infinity;
  let heard = Infinity;
  for (let source = 0; source < sourcePartitions; source++) {
    const { watermark, heardAt } = sources[source] ?? { watermark: 0, heardAt: 0 };
    complete = Math.min(complete, watermark);
    const silent = now - Math.max(heardAt, resumedAt) >= silenceMs;
    if (!silent) heard = Math.min(heard, watermark);
  }
  // All silent: only the wall clock is left.
  const reached = heard === Infinity ? now - silenceMs : heard;
  return { complete, reached: Math.max(complete, reached) };
};
