import type { ChannelWindow } from '../../schemas/generated/records.js';
import { influxQl } from './influxql.js';
import type { InfluxSettings } from './settings.js';
import { pointKey, storedRevisions } from './stored-revisions.js';

/** How InfluxDB's points compare with these windows, each in its newest revision here. */
export interface WindowStates {
  readonly missing: number;
  /** It holds a lower revision. */
  readonly older: number;
  /** It holds this revision, or a higher one. */
  readonly current: number;
}

/** @throws PipelineError influx_unavailable, influx_refused */
export const windowStates = (settings: InfluxSettings) => {
  const ask = influxQl(settings);
  return async (windows: readonly ChannelWindow[]): Promise<WindowStates> => {
    const newest = new Map<string, number>();
    for (const window of windows) {
      const key = pointKey(window);
      newest.set(key, Math.max(newest.get(key) ?? 0, window.revision));
    }
    const stored = await storedRevisions(ask, windows);
    let [missing, older] = [0, 0];
    for (const [key, revision] of newest) {
      const held = stored.get(key);
      if (held === undefined) missing += 1;
      else if (held < revision) older += 1;
    }
    return { missing, older, current: newest.size - missing - older };
  };
};
