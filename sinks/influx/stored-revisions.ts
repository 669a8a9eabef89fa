import type { ChannelWindow } from '../../schemas/generated/records.js';
import type { InfluxQl } from './influxql.js';
import { MEASUREMENT_OF, tagsOf } from './points.js';

const TAGS = {
  channel: ['channel', 'provider', 'lane', 'window'],
  tenant: ['tenant', 'channel', 'window'],
} as const satisfies Record<ChannelWindow['series'], readonly string[]>;

const keyOf = (
  series: ChannelWindow['series'],
  tags: Readonly<Record<string, string | undefined>>,
  time: number,
): string => JSON.stringify([series, ...TAGS[series].map((tag) => tags[tag] ?? ''), time]);

/** One point of InfluxDB: series and time. */
export const pointKey = (window: ChannelWindow): string =>
  keyOf(window.series, tagsOf(window), window.windowStart);

/**
 * The revisions that InfluxDB holds of the points that these windows would write. Asked once a batch and never
 * remembered: a memory would have to be filled after each restart and each rebalance, and batches are as rare as
 * windows close.
 */
export const storedRevisions = async (
  ask: InfluxQl,
  windows: readonly ChannelWindow[],
): Promise<ReadonlyMap<string, number>> => {
  const revisions = new Map<string, number>();
  for (const series of ['channel', 'tenant'] as const) {
    const starts = windows.filter((one) => one.series === series).map((one) => one.windowStart);
    if (starts.length === 0) continue;
    const answer = await ask(
      `SELECT "revision" FROM "${MEASUREMENT_OF[series]}" ` +
        `WHERE time >= ${Math.min(...starts)}ms AND time <= ${Math.max(...starts)}ms ` +
        `GROUP BY ${TAGS[series].map((tag) => `"${tag}"`).join(', ')}`,
    );
    for (const { tags = {}, values } of answer)
      for (const [time, revision] of values)
        revisions.set(keyOf(series, tags, Number(time)), Number(revision));
  }
  return revisions;
};
