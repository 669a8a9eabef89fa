import { asError, PipelineError } from '../../schemas/error.js';
import type { AnyGatherView, AnyProcessor, AnyRecord } from '../topology.js';

/** What gathering came to for one record. */
export type Gathered =
  | { readonly kind: 'fact'; readonly fact: unknown }
  /** The record itself makes the call fail, alone as with others. fact: gatherFailed's; null: nothing is known. */
  | { readonly kind: 'poison'; readonly error: Error; readonly fact: unknown };

/** What of a processor gathers, and what is given to it. */
export interface Gathering {
  readonly gather: NonNullable<AnyProcessor['gather']>;
  readonly gatherFailed?: AnyProcessor['gatherFailed'];
  readonly ports: object;
  readonly view: AnyGatherView;
}

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
  gathering: Gathering,
  records: readonly AnyRecord[],
): Promise<readonly Gathered[]> => {
  for (let tries = 1; ; tries += 1) {
    try {
      const facts = await gathering.gather(records, gathering.ports, gathering.view);
      return records.map((_, index) => ({ kind: 'fact', fact: facts[index] }));
    } catch (thrown) {
      const error = asError(thrown);
      if (error instanceof PipelineError && error.verdict !== 'dead-letter') throw error;
      const [alone, ...others] = records;
      if (alone === undefined) throw error;
      if (others.length > 0) break;
      if (tries >= TRIES_ALONE)
        return [{ kind: 'poison', error, fact: await lastFact(gathering, alone) }];
    }
  }
  const half = Math.ceil(records.length / 2);
  // In order, one after the other: the earlier record of a key is first.
  const first = await gatherAll(gathering, records.slice(0, half));
  return [...first, ...(await gatherAll(gathering, records.slice(half)))];
};

const lastFact = async (
  { gatherFailed, ports }: Gathering,
  record: AnyRecord,
): Promise<unknown> => {
  try {
    return (await gatherFailed?.(record, ports)) ?? null;
  } catch (thrown) {
    if (thrown instanceof PipelineError && thrown.verdict !== 'dead-letter') throw thrown;
    // It cannot be asked about at all: it must not stop its partition for that.
    return null;
  }
};
