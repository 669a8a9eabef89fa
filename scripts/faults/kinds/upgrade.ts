import path from 'node:path';
import { type Build, deploy, nextBuild, thisBuild } from '../builds.js';
import { type FaultKind, type Scene, between, pause } from '../scene.js';
import type { Random } from '../../traffic/random.js';
import { restart } from './rebalance.js';

/** For how long both releases work side by side before the next worker is replaced. */
const SIDE_BY_SIDE_MS = { least: 1_000, most: 4_000 } as const;

/** Worker by worker. From then on what dies is started from the same build. */
const roll = async (scene: Scene, build: Build, random: Random): Promise<string> => {
  const { fleet, slots, complain } = scene;
  fleet.build = build;
  for (const slot of slots) {
    await restart(scene, slot);
    const found = await fleet.release(slot);
    // Ended by itself: that is told at the end.
    if (found !== null && found !== build.release)
      complain(`the worker of slot ${slot} is release ${found}, not ${build.release}`);
    await pause(between(random, SIDE_BY_SIDE_MS.least, SIDE_BY_SIDE_MS.most));
  }
  return `slots ${slots.join(', ')} to release ${build.release}`;
};

/** As an operator does it (docs/operators/upgrade.md): what only adds is put up first, then workers one by one. */
const upgrade: FaultKind = {
  name: 'upgrade',
  family: 'upgrade',
  needsOwnServices: false,
  inject: async (scene, random) => {
    const next = nextBuild(path.join(scene.folder, 'next-release'));
    const { variables, dir } = scene.installation;
    await deploy(next, variables, dir);
    return roll(scene, next, random);
  },
};

/** The same way back; what was put up for the upgrade stays. */
const rollback: FaultKind = {
  name: 'rollback',
  family: 'upgrade',
  needsOwnServices: false,
  after: upgrade.name,
  inject: (scene, random) => roll(scene, thisBuild(), random),
};

export const UPGRADES: readonly FaultKind[] = [upgrade, rollback];
