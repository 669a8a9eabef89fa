import { asError, PipelineError } from '../../schemas/error.js';
import type { AnyProcessor, AnyRecord, AnyView } from '../topology.js';

/** What gathering came to for one record. */
export type Gathered =
  | { readonly kind: 'fact'; readonly fact: unknown }
  /** The record itself makes the call fail, alone as with others. */
  | { readonly kind: 'poison'; readonly error: Error };

/** A record alone is asked about so often before it is given up. */
const TRIES_ALONE = 2;

/**
 * Facts of a batch. Where the call fails because of what some record holds (Postgres refuses a row, our code a value),
 * the batch is halved until the culprits stand alone: the others get their facts. That is safe because asking again
 * answers the same (docs/effectively-once.md), and bounded: with n records at most 3n calls, with one culprit about
 * 2 log2 n.
 * @throws PipelineError with verdict retry (a dependency is away: no record's fault) or stop (the installation's)
 */
export const gatherAll = async (
  gather: NonNullable<AnyProcessor['gather']>,
  records: readonly AnyRecord[],
  ports: object,
  view: AnyView,
): Promise<readonly Gathered[]> => {
  for (let tries = 1; ; tries += 1) {
    try {
      const facts = await gather(records, ports, view);
      return records.map((_, index) => ({ kind: 'fact', fact: facts[index] }));
    } catch (thrown) {
      const error = asError(thrown);
      if (error instanceof PipelineError && error.verdict !== 'dead-letter') throw error;
      if (records.length > 1) break;
      if (tries >= TRIES_ALONE) return [{ kind: 'poison', error }];
    }
  }
  const half = Math.ceil(records.length / 2);
  // In order, one after the other: the earlier record of a key is first.
  const first = await gatherAll(gather, records.slice(0, half), ports, view);
  return [...first, ...(await gatherAll(gather, records.slice(half), ports, view))];
};
