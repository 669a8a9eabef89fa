import type { BreakerLevel, ChannelWindow } from '../../schemas/generated/records.js';
import { breakerLevelWriter } from '../../sinks/influx/breaker-levels.js';
import { channelWindowWriter } from '../../sinks/influx/channel-windows.js';
import type { InfluxSettings } from '../../sinks/influx/settings.js';
import { windowStates } from '../../sinks/influx/window-states.js';
import type { Figures } from '../replay/figures.js';
import type { Rebuild } from './run.js';

const DAY_MS = 86_400_000;

/** Windows of one day at a time: what InfluxDB holds is asked by time range, and a batch may span a month. */
const byDay = (windows: readonly ChannelWindow[]): readonly (readonly ChannelWindow[])[] => {
  const days = new Map<number, ChannelWindow[]>();
  for (const window of windows) {
    const day = Math.floor(window.windowStart / DAY_MS);
    days.set(day, [...(days.get(day) ?? []), window]);
  }
  return [...days.values()];
};

/** Writes one batch of windows and levels of the breaker, or compares. A lower revision is never written over a higher. */
export const influxHandler = (settings: InfluxSettings): Rebuild['handle'] => {
  const compare = windowStates(settings);
  const writeWindows = channelWindowWriter(settings);
  const writeLevels = breakerLevelWriter(settings);
  return async (batch, write): Promise<Figures> => {
    const windows: ChannelWindow[] = [];
    const levels: BreakerLevel[] = [];
    for (const { decoded } of batch)
      if (decoded.is === 'ChannelWindow') windows.push(decoded.value);
      else if (decoded.is === 'BreakerLevel') levels.push(decoded.value);
    const figures = {
      missing: 0,
      older: 0,
      current: 0,
      levels: levels.length,
      unreadable: batch.length - windows.length - levels.length,
      /** Not right after they were written. */
      wrong: 0,
    };
    for (const day of byDay(windows)) {
      const before = await compare(day);
      figures.missing += before.missing;
      figures.older += before.older;
      figures.current += before.current;
      if (!write || before.missing + before.older === 0) continue;
      await writeWindows(day);
      const after = await compare(day);
      figures.wrong += after.missing + after.older;
    }
    if (write) await writeLevels(levels);
    return {
      ...figures,
      superseded: windows.length - figures.missing - figures.older - figures.current,
    };
  };
};

export const influxCheck: Rebuild['check'] = ({ wrong = 0 }) =>
  Promise.resolve(
    wrong === 0
      ? []
      : [
          `${wrong} windows are not as written: does the bucket's retention drop them? A shorter --since leaves those out.`,
        ],
  );
