import { isDeepStrictEqual } from 'node:util';
import { channelWindow } from '../../processors/windows/channel-window.js';
import { isLess } from '../../processors/windows/counts.js';
import { endOf } from '../../processors/windows/closing.js';
import { openWindow } from '../../processors/windows/merge-state.js';
import type { Partial } from '../../processors/windows/partial.js';
import { OTHER_TENANTS, seriesKey, windowKey } from '../../processors/windows/series.js';
import type { EpochMs } from '../../schemas/brand.js';
import type { ChannelWindow } from '../../schemas/generated/records.js';

export interface Comparison {
  /** What feedback says, by window and series; each tenant by itself. */
  readonly partials: readonly Partial[];
  /** What the topic holds of that time, by keyOf: the highest revision of each window. */
  readonly held: ReadonlyMap<string, ChannelWindow>;
  /** Tenants with a series of their own by today's configuration. */
  readonly own: ReadonlySet<string>;
  readonly lengthMs: number;
  /** Windows that begin before it are covered in part at most. */
  readonly coveredFrom: EpochMs;
  /** Windows that end at or after it are still the mergers'. */
  readonly forgottenTo: EpochMs;
  /** The wall clock, for what is written. */
  readonly now: EpochMs;
}

/** Every window that was looked at counts in one of these. */
type Verdict =
  | 'same'
  | 'rewritten'
  | 'missing'
  | 'open'
  | 'partly'
  /** The topic says more than feedback holds: what was lost of it cannot be told from what never was. */
  | 'less'
  /** The topic counts that time in windows of another length, or has what feedback knows nothing of. */
  | 'otherwise';

export interface Compared {
  readonly figures: Readonly<Record<Verdict, number>>;
  /** The next revisions, by start. */
  readonly toWrite: readonly ChannelWindow[];
}

export const keyOf = (window: ChannelWindow): string =>
  windowKey(window.windowStart, window.windowMs, seriesKey(window));

/** What windows say, apart from when and how often they were written. */
export const sameContent = (a: ChannelWindow, b: ChannelWindow): boolean =>
  isDeepStrictEqual({ ...a, revision: 0, closedAt: 0 }, { ...b, revision: 0, closedAt: 0 });

/** Which of the windows differ from the topic's, and their next revisions. */
export const compareWindows = (comparison: Comparison): Compared => {
  const { held, lengthMs, coveredFrom, forgottenTo } = comparison;
  const derived = derive(comparison);
  const foreign = otherLengths(held, lengthMs);
  const figures = { same: 0, rewritten: 0, missing: 0, open: 0, partly: 0, less: 0, otherwise: 0 };
  const toWrite: ChannelWindow[] = [];
  for (const key of new Set([...derived.keys(), ...held.keys()])) {
    const before = held.get(key);
    const after = derived.get(key);
    const window = after ?? before;
    if (window === undefined) continue;
    if (window.windowStart < coveredFrom) figures.partly += 1;
    else if (endOf(window) >= forgottenTo) figures.open += 1;
    else if (after === undefined || foreign(after)) figures.otherwise += 1;
    else if (before === undefined) {
      figures.missing += 1;
      toWrite.push(after);
    } else if (sameContent(before, after)) figures.same += 1;
    else if (isLess(after, before)) figures.less += 1;
    else {
      figures.rewritten += 1;
      toWrite.push({ ...after, revision: before.revision + 1 });
    }
  }
  return { figures, toWrite: toWrite.sort((a, b) => a.windowStart - b.windowStart) };
};

const windowFrom = (of: Partial, snapshots: readonly Partial[], now: EpochMs): ChannelWindow =>
  channelWindow(openWindow(of), snapshots, { revision: 0, complete: true, closedAt: now });

/** All windows that feedback makes. */
const derive = (comparison: Comparison): ReadonlyMap<string, ChannelWindow> => {
  const { partials, now } = comparison;
  const derived = new Map<string, ChannelWindow>();
  const put = (window: ChannelWindow) => derived.set(keyOf(window), window);
  const tenants = new Map<string, Partial[]>();
  for (const partial of partials)
    if (partial.series === 'channel') put(windowFrom(partial, [partial], now));
    else {
      const together = otherKey(partial);
      tenants.set(together, [...(tenants.get(together) ?? []), partial]);
    }
  for (const [key, of] of tenants) tenantWindows(key, of, comparison).forEach(put);
  return derived;
};

const ofOthers = (partial: Partial): Partial => ({ ...partial, tenantId: OTHER_TENANTS });

const otherKey = (partial: Partial): string =>
  windowKey(partial.windowStart, partial.windowMs, seriesKey(ofOthers(partial)));

/**
 * Tenants of one window and channel: own series, and `other`. The configuration may have changed since: who has a window
 * of their own in the topic keeps it, and `other` keeps whom it holds, or they would count twice.
 */
const tenantWindows = (
  key: string,
  partials: readonly Partial[],
  { held, own, now }: Comparison,
): readonly ChannelWindow[] => {
  const holds = (partial: Partial) =>
    held.has(windowKey(partial.windowStart, partial.windowMs, seriesKey(partial)));
  const alone = partials.filter(holds);
  const rest = partials.filter((partial) => !holds(partial));
  const others = rest.filter(({ tenantId }) => !own.has(tenantId ?? ''));
  const summed = (of: readonly Partial[]): readonly ChannelWindow[] =>
    of[0] === undefined ? [] : [windowFrom(ofOthers(of[0]), of, now)];
  const single = (of: readonly Partial[]) =>
    of.map((partial) => windowFrom(partial, [partial], now));

  const [heldOther, [allOthers]] = [held.get(key), summed(rest)];
  return heldOther !== undefined && allOthers !== undefined && sameContent(heldOther, allOthers)
    ? [...single(alone), allOthers]
    : [...single(partials.filter((partial) => !others.includes(partial))), ...summed(others)];
};

/** Whether a window's time is counted in windows of another length: both together would count it twice. */
const otherLengths = (
  held: ReadonlyMap<string, ChannelWindow>,
  lengthMs: number,
): ((window: ChannelWindow) => boolean) => {
  const spans = new Map<string, ChannelWindow>();
  for (const window of held.values())
    if (window.windowMs !== lengthMs) spans.set(`${window.windowStart}/${window.windowMs}`, window);
  const others = [...spans.values()];
  const known = new Map<number, boolean>();
  return (window) => {
    let found = known.get(window.windowStart);
    if (found === undefined) {
      found = others.some(
        (other) => other.windowStart < endOf(window) && endOf(other) > window.windowStart,
      );
      known.set(window.windowStart, found);
    }
    return found;
  };
};
