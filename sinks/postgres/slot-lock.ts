import pg from 'pg';
import { postgresError } from './postgres-error.js';

/** Slots held by this process, for as long as its connection lives. */
export interface SlotLock {
  /** Ids that another worker holds; empty: all are ours. */
  readonly taken: readonly string[];
  readonly release: () => Promise<void>;
}

/**
 * Holds transactional ids exclusively (rule 10 of docs/effectively-once.md): two holders of one id would fence each
 * other for ever. Session-level advisory locks: a crashed holder's end with its connection.
 * @param onLost the connection broke, and with it the locks
 * @throws PipelineError postgres_unavailable | postgres_refused
 */
export const lockSlots = async (
  databaseUrl: string,
  ids: readonly string[],
  onLost: (error: Error) => void,
): Promise<SlotLock> => {
  const client = new pg.Client({
    connectionString: databaseUrl,
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
  });
  let released = false;
  client.on('error', (error) => {
    if (!released) onLost(error);
  });
  try {
    await client.connect();
    const { rows } = await client.query<{ id: string; held: boolean }>(
      `select id, pg_try_advisory_lock(hashtextextended(id, 0)) as held from unnest($1::text[]) as id`,
      [ids],
    );
    return {
      taken: rows.filter(({ held }) => !held).map(({ id }) => id),
      release: async () => {
        released = true;
        await client.end();
      },
    };
  } catch (error) {
    released = true;
    await client.end().catch(() => undefined);
    throw postgresError(error);
  }
};
