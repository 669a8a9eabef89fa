import type { EpochMs } from '../../schemas/brand.js';
import type { WindowsConfig } from '../../schemas/config.js';
import type { ConfigEntry, DeliveryFeedback } from '../../schemas/generated/records.js';
import { windowsOf } from '../configuration.js';
import type { Contract, Decision, Emit, Processor, Put, View } from '../processor.js';
import { isCounted } from './counts.js';
import { ownTenants } from './own-tenants.js';
import {
  type OpenPartial,
  type Partial,
  type WindowPartial,
  addFeedback,
  copyPartial,
  emptyPartial,
} from './partial.js';
import { SeriesIndex, partitionKey } from './series.js';
import { SOURCE_KEY, type SourceState, newSource, openSource } from './source-state.js';

export interface WindowPartials extends Contract {
  readonly from: { readonly feedback: DeliveryFeedback };
  readonly to: { readonly partials: WindowPartial };
  /** Of one partition of `feedback`: its open partials by window and series, and how far it has come. */
  readonly state: { readonly open: Partial | SourceState };
  readonly tables: { readonly config: ConfigEntry };
  readonly ports: object;
  readonly fact: unknown;
  readonly call: unknown;
  readonly answer: unknown;
}

export interface WindowPartialsOptions {
  /** Partitions of internal.windows.partials: each learns every source partition's watermark. */
  readonly mergerPartitions: number;
  /**
   * Snapshots of one source partition are at least so far apart, in milliseconds: transactions may be 5 ms apart,
   * and a cumulative snapshot says all that the ones before it said.
   */
  readonly emitEveryMs?: number;
}

type Seen = View<WindowPartials>;
type Emissions = Emit<WindowPartials['to']>[];
type Puts = Put<WindowPartials['state']>[];

const EMIT_EVERY_MS = 250;
/** A partition without records is called idle no sooner: a fetch after a rebalance takes that long. */
const LEAST_IDLE_MS = 2_000;
const MOST_MARK_EVERY_MS = 10_000;

const idleAfterMs = ({ graceMs, silenceMs }: WindowsConfig): number =>
  Math.min(Math.max(graceMs, LEAST_IDLE_MS), silenceMs);

/** An idle partition says so again, or mergers would take it for silent; often enough to close windows in time. */
const markEveryMs = ({ graceMs, silenceMs }: WindowsConfig): number =>
  Math.min(Math.max(graceMs / 2, 1_000), MOST_MARK_EVERY_MS, silenceMs / 3);

const known = (view: Seen): SourceState | undefined => {
  const found = view.state.open.get(SOURCE_KEY);
  return found?.is === 'source' ? found : undefined;
};

/** A partition that never had a record is idle too, and must say so, or it would hold every window open. */
const first = ({ partition, now }: Seen): Decision<WindowPartials> =>
  partition === undefined
    ? {}
    : { put: [{ to: 'open', key: SOURCE_KEY, value: newSource(partition, now) }] };

/**
 * Counts each partition of `feedback` by itself and writes cumulative snapshots, keyed so that those of one series
 * meet in one merger: the shuffle moves a few snapshots instead of every record.
 *
 * Within a transaction a partial is copied when first touched and then changed in place: what was committed stays as
 * it was, because an abort drops the copies (exactly-once.md, rule 5). `batch` tells copies from originals: it is one
 * more than the committed source state says.
 */
export const windowPartials = (options: WindowPartialsOptions): Processor<WindowPartials> => {
  const index = new SeriesIndex();
  const emitEveryMs = options.emitEveryMs ?? EMIT_EVERY_MS;

  const touch = (
    source: SourceState,
    store: Seen['state']['open'],
    key: string,
    empty: () => OpenPartial,
    puts: Puts,
  ): OpenPartial => {
    const found = store.get(key);
    // Nothing but this function makes a partial of this batch, and it makes open ones.
    if (found?.is === 'partial' && found.batch === source.batch) return found as OpenPartial;
    const mine = found?.is === 'partial' ? copyPartial(found, source.batch) : empty();
    source.dirty[key] = true;
    puts.push({ to: 'open', key, value: mine });
    return mine;
  };

  return {
    name: 'windows-partials',
    gather: null,

    decide({ at, value: feedback }, _fact, view) {
      const config = windowsOf(view.tables.config);
      const { lengthMs, graceMs, retentionMs } = config;
      const store = view.state.open;
      const puts: Puts = [];
      const source = openSource(store.get(SOURCE_KEY), at.partition, view.now, (value) => {
        puts.push({ to: 'open', key: SOURCE_KEY, value });
      });
      const windowStart = Math.floor(feedback.occurredAt / lengthMs) * lengthMs;
      if (windowStart + lengthMs + graceMs + retentionMs < source.watermark) {
        source.droppedNow += 1;
        return { put: puts };
      }
      // The clock of a worker may run ahead: its answers must not close other workers' windows.
      source.watermark = Math.max(source.watermark, Math.min(feedback.occurredAt, view.now));
      if (!isCounted(feedback)) return { put: puts };
      const own = ownTenants(view.tables.config, config.maxTenants);
      for (const series of [index.channel(feedback), index.tenant(feedback, own)]) {
        const key = series.windowKey(windowStart, lengthMs);
        const empty = (): OpenPartial =>
          emptyPartial(series.of, source.source, windowStart, lengthMs, source.batch);
        addFeedback(touch(source, store, key, empty, puts), feedback);
      }
      return { put: puts };
    },

    flush(view) {
      const source = known(view);
      if (source?.staged !== true) return {};
      return settle({ ...source, staged: false }, view, false);
    },

    tick(view) {
      const source = known(view);
      if (source === undefined) return first(view);
      // Records of this transaction: flush sees to them.
      if (source.staged) return {};
      const config = windowsOf(view.tables.config);
      if (
        view.now - source.activeAt >= idleAfterMs(config) &&
        view.now - source.markedAt >= markEveryMs(config)
      ) {
        const watermark = Math.max(source.watermark, view.now);
        return settle({ ...source, markedAt: view.now, droppedNow: 0, watermark }, view, true);
      }
      const told =
        source.watermark === source.emittedWatermark && Object.keys(source.dirty).length === 0;
      if (told || !isDue(source, view)) return {};
      return settle({ ...source, droppedNow: 0 }, view, false);
    },

    /** A partition that was just taken over is not idle: its backlog comes first. */
    restored(view) {
      const source = known(view);
      if (source === undefined) return first(view);
      const value = { ...source, activeAt: view.now, droppedNow: 0 };
      return { put: [{ to: 'open', key: SOURCE_KEY, value }] };
    },

    metrics: {
      /** Feedback older than its window's retention. */
      late_dropped: ({ put }) =>
        put?.reduce(
          (sum, { value }) =>
            sum + (value?.is === 'source' && !value.staged ? value.droppedNow : 0),
          0,
        ) ?? 0,
    },
  };

  function isDue(source: SourceState, view: Seen): boolean {
    return view.now - source.emittedAt >= emitEveryMs;
  }

  /** The batch's end for one source partition: what mergers should know, and what may be forgotten. */
  function settle(source: SourceState, view: Seen, idle: boolean): Decision<WindowPartials> {
    const emit: Emissions = [];
    const put: Puts = [];
    let next = source;
    if (idle || isDue(source, view)) {
      for (const key of Object.keys(source.dirty)) {
        const partial = view.state.open.get(key);
        if (partial?.is === 'partial')
          emit.push({ to: 'partials', key: partitionKey(partial), value: partial });
      }
      emit.push(...marks(source.source, source.watermark, idle));
      next = { ...next, dirty: {}, emittedAt: view.now, emittedWatermark: source.watermark };
    }
    const { graceMs, retentionMs, lengthMs } = windowsOf(view.tables.config);
    const horizon = source.watermark - graceMs - retentionMs;
    // Walks the whole store, so once a window, not once a batch.
    if (horizon >= source.prunedTo + lengthMs) {
      for (const [key, value] of view.state.open.entries())
        if (value.is === 'partial' && value.windowStart + value.windowMs < horizon)
          put.push({ to: 'open', key, value: null });
      next = { ...next, prunedTo: horizon };
    }
    put.push({ to: 'open', key: SOURCE_KEY, value: next });
    return { emit, put };
  }

  function marks(source: number, watermark: EpochMs, idle: boolean): Emissions {
    return Array.from({ length: options.mergerPartitions }, (_, partition) => ({
      to: 'partials' as const,
      key: `source/${source}`,
      partition,
      value: { is: 'watermark' as const, source, watermark, idle },
    }));
  }
};
