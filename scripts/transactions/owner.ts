import type { Database } from '../../sinks/postgres/pool.js';
import { groupOf } from '../../topologies/runtime/worker.js';

/** Whose a transaction is. */
export type Owner =
  /** One of our workers' tasks. held: a live worker holds the slot; null: Postgres could not be asked. */
  | {
      readonly kind: 'task';
      readonly task: string;
      readonly slot: number;
      readonly held: boolean | null;
    }
  /** Somebody who writes to our topics by transactions of their own. */
  | { readonly kind: 'other' };

/** A transactional id of ours is <prefix>millrace.<task>.<slot> (rule 10 of docs/effectively-once.md). */
export const taskOf = (
  transactionalId: string,
  prefix: string,
): { readonly task: string; readonly slot: number } | null => {
  const ours = groupOf(prefix, '');
  if (!transactionalId.startsWith(ours)) return null;
  const [, task, slot] = /^(.+)\.(\d+)$/.exec(transactionalId.slice(ours.length)) ?? [];
  return task === undefined ? null : { task, slot: Number(slot) };
};

/** Which of these ids a live worker holds by its advisory lock (sinks/postgres/slot-lock.ts); takes none itself. */
export const heldIds = async (
  database: Database,
  transactionalIds: readonly string[],
): Promise<ReadonlySet<string>> => {
  const rows = await database.query<{ id: string }>(
    {
      name: 'held-slots',
      text: `select id from unnest($1::text[]) as id where exists (
               select from pg_locks
               where locktype = 'advisory' and objsubid = 1 and granted
                 and database = (select oid from pg_database where datname = current_database())
                 and ((classid::bigint << 32) | objid::bigint) = hashtextextended(id, 0))`,
    },
    [transactionalIds],
  );
  return new Set(rows.map(({ id }) => id));
};
