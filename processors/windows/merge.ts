import type { ChannelWindow, ConfigEntry } from '../../schemas/generated/records.js';
import { windowsOf } from '../configuration.js';
import type { Contract, Decision, Processor, Put, View } from '../processor.js';
import { closeWindows, earliest, endOf, forgettable, isDue, nextRevision } from './closing.js';
import { frontierOf } from './frontier.js';
import {
  CLOCK_KEY,
  type MergeClock,
  type MergeState,
  type MergedWindow,
  newClock,
  openWindow,
  snapshotKey,
} from './merge-state.js';
import type { Partial, WindowPartial } from './partial.js';
import { seriesKey, windowKey } from './series.js';

export interface WindowMerge extends Contract {
  readonly from: { readonly partials: WindowPartial };
  readonly to: { readonly windows: ChannelWindow };
  readonly state: { readonly merging: MergeState };
  readonly tables: { readonly config: ConfigEntry };
  readonly ports: object;
  readonly fact: unknown;
  readonly call: unknown;
  readonly answer: unknown;
}

export interface WindowMergeOptions {
  /** Partitions of `feedback`: a window is complete when all of them have passed it. */
  readonly sourcePartitions: number;
}

type Seen = View<WindowMerge>;
type Puts = Put<WindowMerge['state']>[];

const windowOf = (store: Seen['state']['merging'], key: string): MergedWindow | undefined => {
  const found = store.get(key);
  return found?.is === 'window' ? found : undefined;
};

const clockOf = (store: Seen['state']['merging']): MergeClock | undefined => {
  const found = store.get(CLOCK_KEY);
  return found?.is === 'clock' ? found : undefined;
};

/**
 * Sums the source partitions' snapshots and closes each window once: when every source has passed its end + grace.
 * What comes later is a revision, as long as the window is remembered.
 */
export const windowMerge = (options: WindowMergeOptions): Processor<WindowMerge> => {
  const open = (view: Seen, puts: Puts): MergeClock => {
    const known = clockOf(view.state.merging) ?? newClock(view.now);
    if (known.staged) return known;
    const mine: MergeClock = {
      ...known,
      staged: true,
      sources: { ...known.sources },
      late: { ...known.late },
      droppedNow: 0,
    };
    puts.push({ to: 'merging', key: CLOCK_KEY, value: mine });
    return mine;
  };

  const take = (snapshot: Partial, clock: MergeClock, view: Seen, puts: Puts): void => {
    const store = view.state.merging;
    if (endOf(snapshot) < clock.prunedTo) {
      clock.droppedNow += 1;
      return;
    }
    const key = windowKey(snapshot.windowStart, snapshot.windowMs, seriesKey(snapshot));
    const own = snapshotKey(key, snapshot.source);
    const before = store.get(own);
    // Cumulative: one that is not newer says nothing new.
    if (before?.is === 'partial' && before.version >= snapshot.version) return;
    puts.push({ to: 'merging', key: own, value: snapshot });
    const window = windowOf(store, key);
    if (window === undefined) {
      puts.push({ to: 'merging', key, value: openWindow(snapshot) });
      const { graceMs } = windowsOf(view.tables.config);
      clock.nextClose = earliest(clock.nextClose, endOf(snapshot) + graceMs);
    } else if (window.revision !== null) clock.late[key] = true;
  };

  /** What the clock makes due: closings, completions, revisions; and what may be forgotten. */
  const settle = (clock: MergeClock, view: Seen): Decision<WindowMerge> => {
    const config = windowsOf(view.tables.config);
    const store = view.state.merging;
    const frontier = frontierOf(clock, options.sourcePartitions, view.now, config);
    const { written, ...next } = closeWindows(
      clock,
      frontier,
      config,
      (key, window, complete) =>
        nextRevision(key, window, complete, options.sourcePartitions, store, view.now),
      store,
    );
    const put: Puts = written.map(({ key, window }) => ({ to: 'merging', key, value: window }));
    const forgotten = forgettable(clock.prunedTo, frontier, config, store);
    for (const key of forgotten?.keys ?? []) put.push({ to: 'merging', key, value: null });
    const prunedTo = forgotten?.to ?? clock.prunedTo;
    const value = { ...clock, ...next, prunedTo, late: {}, staged: false };
    put.push({ to: 'merging', key: CLOCK_KEY, value });
    return {
      emit: written.map(({ topicKey, value: window }) => ({
        to: 'windows',
        key: topicKey,
        value: window,
      })),
      put,
    };
  };

  return {
    name: 'windows-merge',
    gather: null,

    decide({ value }, _fact, view) {
      const put: Puts = [];
      const clock = open(view, put);
      if (value.is === 'partial') take(value, clock, view, put);
      else {
        const { watermark = 0 } = clock.sources[value.source] ?? {};
        clock.sources[value.source] = {
          watermark: Math.max(watermark, value.watermark),
          heardAt: view.now,
        };
      }
      return { put };
    },

    flush(view) {
      const clock = clockOf(view.state.merging);
      return clock?.staged === true ? settle(clock, view) : {};
    },

    /** Only silence needs the wall clock: all else comes with a record. */
    tick(view) {
      const clock = clockOf(view.state.merging);
      if (clock === undefined || clock.staged) return {};
      const config = windowsOf(view.tables.config);
      const frontier = frontierOf(clock, options.sourcePartitions, view.now, config);
      return isDue(clock, frontier) ? settle({ ...clock, droppedNow: 0 }, view) : {};
    },

    /** Nobody was silent while nobody listened. */
    restored(view) {
      const value = {
        ...(clockOf(view.state.merging) ?? newClock(view.now)),
        resumedAt: view.now,
        droppedNow: 0,
      };
      return { put: [{ to: 'merging', key: CLOCK_KEY, value }] };
    },

    metrics: {
      windows_closed: (decision) => written(decision, ({ revision }) => revision === 0),
      windows_revised: (decision) => written(decision, ({ revision }) => revision > 0),
      windows_incomplete: (decision) => written(decision, ({ complete }) => !complete),
      /** Snapshots for windows that are forgotten. */
      late_dropped: ({ put }) =>
        put?.reduce(
          (sum, { value }) => sum + (value?.is === 'clock' && !value.staged ? value.droppedNow : 0),
          0,
        ) ?? 0,
    },
  };
};

const written = ({ emit }: Decision<WindowMerge>, which: (window: ChannelWindow) => boolean) =>
  emit?.filter(({ value }) => which(value)).length ?? 0;
