import { type FaultKind, type Scene, between, pause } from '../scene.js';

/** The session of a group's member ends after 6 s (DEFAULT_TIMING): what wakes up later is a zombie. */
const ZOMBIE_MS = { least: 7_500, most: 11_000 } as const;
const SHORT_MS = { least: 500, most: 3_000 } as const;
const SETTLED_MS = { least: 1_000, most: 4_000 } as const;
const MOST_WORKERS = 4;

const standStill = (name: string, forMs: typeof ZOMBIE_MS | typeof SHORT_MS): FaultKind => ({
  name,
  family: 'rebalance',
  needsOwnServices: false,
  inject: async ({ fleet, slots }, random) => {
    const slot = random.pick(slots);
    const ms = between(random, forMs.least, forMs.most);
    fleet.standStill(slot);
    await pause(ms);
    fleet.wakeUp(slot);
    return `slot ${slot} for ${ms} ms`;
  },
});

/** Told to stop, and started again once it has, as a deployment does. */
export const restart = async ({ fleet, complain }: Scene, slot: number): Promise<void> => {
  const well = await fleet.stop(slot);
  if (!well) complain(`the worker of slot ${slot} did not end with 0 when it was told to end`);
  await fleet.start(slot);
};

/** One after the other. */
const rollingRestart: FaultKind = {
  name: 'rolling restart',
  family: 'rebalance',
  needsOwnServices: false,
  inject: async (scene) => {
    const { slots } = scene;
    for (const slot of slots) await restart(scene, slot);
    return `slots ${slots.join(', ')}`;
  },
};

/** To four workers, down to one, and back. */
const scale: FaultKind = {
  name: 'scale 4, 1',
  family: 'rebalance',
  needsOwnServices: false,
  inject: async ({ fleet, slots }, random) => {
    const wait = () => pause(between(random, SETTLED_MS.least, SETTLED_MS.most));
    const all = Array.from({ length: MOST_WORKERS }, (_, slot) => slot);
    await fleet.heal(all);
    await wait();
    await fleet.heal([random.pick(all)]);
    await wait();
    await fleet.heal(slots);
    return `to ${MOST_WORKERS}, to 1, to ${slots.length}`;
  },
};

export const REBALANCES: readonly FaultKind[] = [
  standStill('zombie', ZOMBIE_MS),
  standStill('worker SIGSTOP', SHORT_MS),
  rollingRestart,
  scale,
];
