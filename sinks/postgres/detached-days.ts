import type { Database } from './pool.js';
import { sqlQuery } from './sql-files.js';

/** A day of reservations that is attached. */
export interface AttachedDay {
  /** UTC, YYYY-MM-DD. */
  readonly day: string;
  readonly reservations: bigint;
  /** Not resolved: such a day cannot be detached. */
  readonly pending: bigint;
}

export type Detachment =
  | { readonly kind: 'detached'; readonly reservations: bigint }
  | { readonly kind: 'pending'; readonly pending: bigint }
  /** Detached meanwhile, or an older one was attached. */
  | { readonly kind: 'unknown_day' | 'not_the_oldest' };

const DETACH = {
  name: 'detach_day',
  text: 'select outcome, reservations from detach_day($1::date)',
};

/**
 * Days before this one that are attached, oldest first.
 * @param before UTC day, YYYY-MM-DD
 * @throws PipelineError postgres_*
 */
export const attachedDays = (database: Database, before: string): Promise<readonly AttachedDay[]> =>
  database.query<AttachedDay & Record<string, unknown>>(sqlQuery('attached-days'), [before]);

/** @throws PipelineError postgres_*: also where a batch held the ledger for 5 s, and nothing was done */
export const detachDay = async (database: Database, day: string): Promise<Detachment> => {
  const [row] = await database.query<{
    outcome: Detachment['kind'];
    reservations: bigint;
  }>(DETACH, [day]);
  if (row === undefined) throw new Error('detach_day() answers one row');
  if (row.outcome === 'pending') return { kind: 'pending', pending: row.reservations };
  if (row.outcome === 'detached') return { kind: 'detached', reservations: row.reservations };
  return { kind: row.outcome };
};
