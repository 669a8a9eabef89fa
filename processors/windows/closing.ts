import type { EpochMs } from '../../schemas/brand.js';
import type { WindowsConfig } from '../../schemas/config.js';
import type { ChannelWindow } from '../../schemas/generated/records.js';
import { channelWindow } from './channel-window.js';
import type { Frontier } from './frontier.js';
import { type MergeClock, type MergeState, type MergedWindow, snapshotKey } from './merge-state.js';
import { partitionKey } from './series.js';
import type { StateStore } from '../processor.js';

/** A window to write, and the state that remembers it. */
export interface Written {
  readonly key: string;
  readonly topicKey: string;
  readonly value: ChannelWindow;
  readonly window: MergedWindow;
}

export interface Closing {
  readonly written: readonly Written[];
  readonly nextClose: EpochMs | null;
  readonly nextComplete: EpochMs | null;
}

export const endOf = (window: {
  readonly windowStart: EpochMs;
  readonly windowMs: number;
}): EpochMs => window.windowStart + window.windowMs;

export const earliest = (a: EpochMs | null, b: EpochMs): EpochMs =>
  a === null ? b : Math.min(a, b);

/** Walking the windows is worth it: one of them may close or be completed. */
export const isDue = (
  { nextClose, nextComplete }: MergeClock,
  { complete, reached }: Frontier,
): boolean =>
  (nextClose !== null && nextClose <= reached) ||
  (nextComplete !== null && nextComplete <= complete);

/** Windows that close, are completed, or changed after they closed. */
export const closeWindows = (
  clock: MergeClock,
  frontier: Frontier,
  { graceMs }: WindowsConfig,
  write: (key: string, window: MergedWindow, complete: boolean) => Written,
  store: StateStore<MergeState>,
): Closing => {
  const written = new Map<string, Written>();
  let { nextClose, nextComplete } = clock;
  if (isDue(clock, frontier)) {
    nextClose = null;
    nextComplete = null;
    for (const [key, window] of store.entries()) {
      if (window.is !== 'window') continue;
      const due = endOf(window) + graceMs;
      const complete = due <= frontier.complete;
      const closed = window.revision !== null;
      if (!closed && due > frontier.reached) nextClose = earliest(nextClose, due);
      else if (!closed || (complete && !window.complete))
        written.set(key, write(key, window, complete));
      if ((closed || due <= frontier.reached) && !complete)
        nextComplete = earliest(nextComplete, due);
    }
  }
  for (const key of Object.keys(clock.late)) {
    const window = store.get(key);
    if (window?.is === 'window' && window.revision !== null && !written.has(key))
      written.set(key, write(key, window, endOf(window) + graceMs <= frontier.complete));
  }
  return { written: [...written.values()], nextClose, nextComplete };
};

/** The next revision of a window, from its sources' newest snapshots. */
export const nextRevision = (
  key: string,
  window: MergedWindow,
  complete: boolean,
  sourcePartitions: number,
  store: StateStore<MergeState>,
  closedAt: EpochMs,
): Written => {
  const revision = window.revision === null ? 0 : window.revision + 1;
  const snapshots = Array.from({ length: sourcePartitions }, (_, source) =>
    store.get(snapshotKey(key, source)),
  ).filter((found) => found?.is === 'partial');
  return {
    key,
    topicKey: partitionKey(window),
    value: channelWindow(window, snapshots, { revision, complete, closedAt }),
    window: { ...window, revision, complete },
  };
};

/** Keys of windows past their retention, once per window length; null: none yet. */
export const forgettable = (
  prunedTo: EpochMs,
  frontier: Frontier,
  { graceMs, retentionMs, lengthMs }: WindowsConfig,
  store: StateStore<MergeState>,
): { readonly keys: readonly string[]; readonly to: EpochMs } | null => {
  // A source that is silent for good must not keep every window for good; it gets one retention more.
  const passed = Math.max(frontier.complete, frontier.reached - retentionMs);
  const to = passed - graceMs - retentionMs;
  if (to < prunedTo + lengthMs) return null;
  const keys: string[] = [];
  for (const [key, value] of store.entries())
    if (value.is !== 'clock' && endOf(value) < to) keys.push(key);
  return { keys, to };
};
