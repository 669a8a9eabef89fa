import type { CrashPoint } from '../../../topologies/runtime/crash-points.js';
import { type FaultKind, between } from '../scene.js';

/** Far above the 15 s that it takes by itself: other faults go on beside it. */
const DELIVERED_MS = 60_000;

/** A worker dies at once, wherever it stands; it is away until the others deliver what was its share. */
const workerKill: FaultKind = {
  name: 'worker SIGKILL',
  family: 'crash',
  needsOwnServices: false,
  inject: async ({ fleet, slots, witness, failedOver }, random) => {
    const slot = random.pick(slots);
    const share = await fleet.share(slot);
    const delivery = witness.delivery(share);
    await fleet.kill(slot);
    const ms = await delivery.within(DELIVERED_MS);
    await fleet.start(slot);
    if (ms === null)
      return `slot ${slot}; its share was not delivered in ${DELIVERED_MS / 1_000} s`;
    if (share.length === 0) return `slot ${slot}; it had no ingest partitions`;
    failedOver(ms);
    return `slot ${slot}; its ${share.length} ingest partitions delivered again after ${(ms / 1_000).toFixed(1)} s`;
  },
};

/** Tasks under `*` count their lanes together. Each stage with each point that means something else there. */
const POINTS: readonly (readonly [task: string, points: readonly CrashPoint[]])[] = [
  ['intake.*', ['after-gather', 'before-offsets', 'after-offsets-sent', 'after-commit']],
  ['send.*', ['before-offsets', 'after-offsets-sent', 'after-commit', 'after-call']],
  ['receipts', ['after-gather', 'after-offsets-sent', 'after-commit']],
  ['windows*', ['after-offsets-sent', 'after-commit']],
  ['settle', ['before-effect', 'after-effect']],
];
/** The point is passed so often, and then kills: not always the first after the order has come. */
const PASSINGS = { least: 1, most: 8 } as const;
const REACHED_MS = 20_000;

/** A worker at work dies at a numbered point; another comes in its place. */
const crashAt = (task: string, point: CrashPoint): FaultKind => ({
  name: `crash ${task}.${point}`,
  family: 'crash',
  needsOwnServices: false,
  inject: async ({ fleet, slots }, random) => {
    const at = `${task}.${point}:${between(random, PASSINGS.least, PASSINGS.most)}`;
    const died = await fleet.crash(random.pick(slots), at, REACHED_MS);
    return died ? `CRASH_AT=${at}` : null;
  },
});

export const CRASHES: readonly FaultKind[] = [
  workerKill,
  ...POINTS.flatMap(([task, points]) => points.map((point) => crashAt(task, point))),
];
