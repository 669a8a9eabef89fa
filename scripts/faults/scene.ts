import type { Random } from '../traffic/random.js';
import type { DemoSimulator } from '../demo/simulator.js';
import type { FaultInstallation } from './installation.js';
import type { Fleet } from './fleet.js';
import type { OwnServices } from './services.js';
import type { Witness } from './witness.js';

export const FAMILIES = [
  'crash',
  'rebalance',
  'upgrade',
  'broker',
  'network',
  'dependency',
] as const;
export type Family = (typeof FAMILIES)[number];

/** What faults are made in. */
export interface Scene {
  readonly fleet: Fleet;
  /** Slots of the workers that run when nothing is broken. */
  readonly slots: readonly number[];
  readonly installation: FaultInstallation;
  /** Of this run, for files of its own. */
  readonly folder: string;
  readonly witness: Witness;
  readonly simulator: DemoSimulator;
  /** The carriers' endpoints of this run. */
  readonly endpoints: readonly string[];
  /** null: on a stack that others use too, where nothing but workers and carriers may be broken. */
  readonly services: OwnServices | null;
  /** A worker was killed; so long after, all of its share was delivered again. */
  readonly failedOver: (ms: number) => void;
  /** Something went wrong that the counts alone would not show. */
  readonly complain: (problem: string) => void;
}

export interface FaultKind {
  readonly name: string;
  readonly family: Family;
  /** It breaks carriers alone. */
  readonly carriersOnly?: true;
  /** It breaks what only the harness's own cluster may lose. */
  readonly needsOwnServices: boolean;
  /** It undoes the kind of this name, which comes before it whenever all kinds come once. */
  readonly after?: string;
  /**
   * Breaks something, leaves it broken for a while, mends it.
   * @returns what was done; null: it could not be brought about (counted apart)
   */
  readonly inject: (scene: Scene, random: Random) => Promise<string | null>;
}

export const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, ms));

/** A whole number of milliseconds from `least` up to `most`. */
export const between = (random: Random, least: number, most: number): number =>
  least + random.int(most - least + 1);

/** @throws Error: the harness chose a fault that this scene does not allow */
export const own = ({ services }: Scene): OwnServices => {
  if (services === null) throw new Error('this fault breaks what others use too');
  return services;
};
