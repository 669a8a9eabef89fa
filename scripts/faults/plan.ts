import { type Random, seeded } from '../traffic/random.js';
import { BROKERS } from './kinds/broker.js';
import { CRASHES } from './kinds/crash.js';
import { DEPENDENCIES } from './kinds/dependency.js';
import { NETWORK } from './kinds/network.js';
import { REBALANCES } from './kinds/rebalance.js';
import { UPGRADES } from './kinds/upgrade.js';
import type { Family, FaultKind } from './scene.js';

export const KINDS: readonly FaultKind[] = [
  ...CRASHES,
  ...REBALANCES,
  ...UPGRADES,
  ...BROKERS,
  ...NETWORK,
  ...DEPENDENCIES,
];

const some =
  (...families: readonly Family[]) =>
  ({ family }: FaultKind): boolean =>
    families.includes(family);

/** Faults that go on beside each other: of workers, of Kafka, of stores and the registry, of carriers. */
const TRACKS = [
  { name: 'a', takes: some('crash', 'rebalance', 'upgrade') },
  { name: 'b', takes: some('broker', 'network') },
  {
    name: 'c',
    takes: (kind: FaultKind) => some('dependency')(kind) && kind.carriersOnly !== true,
  },
  { name: 'd', takes: (kind: FaultKind) => kind.carriersOnly === true },
] as const;

/** One fault to come. */
export interface PlannedFault {
  /** Track and place in it, as it is printed. */
  readonly number: string;
  readonly kind: FaultKind;
  /** Its own dice: what it does does not depend on what came before. */
  readonly random: Random;
}

/** Faults one after the other, without end. */
export interface Track {
  readonly next: () => PlannedFault;
}

/** Seeds of one run must not meet. */
const STRIDE = 1_000_003;

/**
 * The faults of each track, without end: all kinds once in a seeded order, then all again in another;
 * what undoes another kind comes behind it.
 * The same seed and kinds give the same faults in the same order.
 */
export const plan = (seed: number, kinds: readonly FaultKind[]): readonly Track[] =>
  TRACKS.flatMap(({ name, takes }, index) => {
    const its = kinds.filter(takes);
    return its.length === 0 ? [] : [track(seed, index, name, its)];
  });

const track = (seed: number, index: number, name: string, kinds: readonly FaultKind[]): Track => {
  const dice = seeded(seed * STRIDE + index);
  const left: FaultKind[] = [];
  let number = 0;
  return {
    next: () => {
      if (left.length === 0) left.push(...inOrder(shuffled(dice, kinds)));
      const [kind] = left.splice(0, 1);
      if (kind === undefined) throw new Error('a track without faults');
      number += 1;
      return {
        number: `${name}${number}`,
        kind,
        random: seeded((seed + number) * STRIDE + 7 + index),
      };
    },
  };
};

const shuffled = <T>(random: Random, list: readonly T[]): readonly T[] => {
  const left = [...list];
  const order: T[] = [];
  while (left.length > 0) order.push(...left.splice(random.int(left.length), 1));
  return order;
};

/** A kind that undoes a later one changes places with it. */
const inOrder = (kinds: readonly FaultKind[]): readonly FaultKind[] => {
  const order = [...kinds];
  for (const kind of kinds) {
    const at = order.indexOf(kind);
    const undone = order.findIndex(({ name }) => name === kind.after);
    if (undone > at) order.splice(at, 1, ...order.splice(undone, 1, kind));
  }
  return order;
};
