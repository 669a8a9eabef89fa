import type { EpochMs } from '../../schemas/brand.js';
import type { Partial } from './partial.js';
import type { Series } from './series.js';

/** Store key of a merger partition's clock, among keys that begin with a digit. */
export const CLOCK_KEY = 'clock';

export const snapshotKey = (window: string, source: number): string => `${window}#${source}`;

/** One window of one series, without its numbers: those are in the snapshots. */
export interface MergedWindow extends Series {
  readonly is: 'window';
  readonly windowStart: EpochMs;
  readonly windowMs: number;
  /** Of the last ChannelWindow written; null: it is open. */
  readonly revision: number | null;
  readonly complete: boolean;
}

/** How far the sources of one merger partition have come, and what of its windows is next. */
export interface MergeClock {
  readonly is: 'clock';
  /** Within the transaction that made it; what is committed says false. */
  readonly staged: boolean;
  /** By source partition. heardAt: wall clock of the merger, as a lagging one hears old marks. */
  readonly sources: Record<number, { readonly watermark: EpochMs; readonly heardAt: EpochMs }>;
  /** Wall clock: when this merger began, or was taken over; nobody counts as silent before that. */
  readonly resumedAt: EpochMs;
  /** Event time at which the earliest open window may close; null: none is open. */
  nextClose: EpochMs | null;
  /** Event time at which the earliest incomplete window may be completed; null: none. */
  readonly nextComplete: EpochMs | null;
  /** Closed windows with later snapshots: they get a revision. */
  readonly late: Record<string, true>;
  /** Snapshots of this transaction that were too late for their window. */
  droppedNow: number;
  /** Windows that ended before it are forgotten. */
  readonly prunedTo: EpochMs;
}

export type MergeState = Partial | MergedWindow | MergeClock;

export const newClock = (now: EpochMs): MergeClock => ({
  is: 'clock',
  staged: false,
  sources: {},
  resumedAt: now,
  nextClose: null,
  nextComplete: null,
  late: {},
  droppedNow: 0,
  prunedTo: 0,
});

/** The window that a snapshot belongs to, not written yet. */
export const openWindow = (of: Partial): MergedWindow => ({
  is: 'window',
  series: of.series,
  channel: of.channel,
  provider: of.provider,
  lane: of.lane,
  tenantId: of.tenantId,
  windowStart: of.windowStart,
  windowMs: of.windowMs,
  revision: null,
  complete: false,
});
