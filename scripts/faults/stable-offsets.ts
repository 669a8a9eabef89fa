import { ConsumerClient } from '../../topologies/runtime/rdkafka-client.js';
import { until } from '../installation/until.js';
import type { FaultInstallation } from './installation.js';

const CALL_MS = 10_000;
const AT_ONCE = 8;
/** Twice the transactions' time-out and the broker's look for those that passed it (rule 11). */
const BOUND_MS = 15_000;

/**
 * Partitions whose stable offset has not reached, within the bound, the end they have now: a transaction was left
 * open, and holds up every read_committed reader behind it.
 */
export const leftOpen = async (installation: FaultInstallation): Promise<readonly string[]> => {
  const client = (isolation: string) =>
    new ConsumerClient({
      ...installation.client,
      'group.id': `faults-${installation.id}`,
      'isolation.level': isolation,
    });
  const all = client('read_uncommitted');
  const committed = client('read_committed');
  await Promise.all([all.connect(CALL_MS), committed.connect(CALL_MS)]);
  try {
    const partitions = installation.table.flatMap(({ name, partitions: count }) =>
      Array.from({ length: count }, (_, partition) => ({ topic: name, partition })),
    );
    const ends: { topic: string; partition: number; end: number }[] = [];
    for (let at = 0; at < partitions.length; at += AT_ONCE)
      ends.push(
        ...(await Promise.all(
          partitions.slice(at, at + AT_ONCE).map(async (one) => ({
            ...one,
            end: (await all.watermarks(one, CALL_MS)).high,
          })),
        )),
      );
    let open = ends.filter(({ end }) => end > 0);
    await until('', BOUND_MS, async () => {
      const still: typeof open = [];
      for (let at = 0; at < open.length; at += AT_ONCE) {
        const some = open.slice(at, at + AT_ONCE);
        const stable = await Promise.all(some.map((one) => committed.watermarks(one, CALL_MS)));
        still.push(...some.filter(({ end }, index) => (stable[index]?.high ?? 0) < end));
      }
      open = still;
      return open.length === 0;
    }).catch(() => undefined);
    return open.map(({ topic, partition, end }) => `${topic}/${partition} below ${end}`);
  } finally {
    await Promise.all([all.disconnect(CALL_MS), committed.disconnect(CALL_MS)]);
  }
};
