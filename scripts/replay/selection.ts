import type { Returning } from '../../topologies/reenter.js';
import type { Decoded } from '../read/decoded.js';
import type { Figures } from './figures.js';

/** What a batch comes to: every record of it either comes back, or is counted by why it stays. */
export interface Selection {
  readonly returning: readonly Returning[];
  /** By reason; their sum and `returning` are the batch. */
  readonly stay: Figures;
  /** The first record for which --where had no answer, and why. */
  readonly unanswered?: string;
}

/** Chooses what of a batch comes back. */
export type Select = (batch: readonly Decoded[]) => Promise<Selection>;
