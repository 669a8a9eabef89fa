import pg from 'pg';
import { postgresError } from './postgres-error.js';

/** Slots held by this process, for as long as its connection lives. */
export interface SlotLock {
  /** Ids that another worker holds; empty: all are ours. */
  readonly taken: readonly string[];
  readonly release: () => Promise<void>;
}

export type SlotEvent =
  /** The connection broke, and with it the locks; they are being taken again. */
  | { readonly kind: 'lost'; readonly error: Error }
  /** Meanwhile another took them, or the server has not noticed yet that we are gone; trying goes on. */
  | { readonly kind: 'taken'; readonly ids: readonly string[] }
  | { readonly kind: 'regained' };

const CONNECT_MS = 5_000;
const REGAIN_MS = 1_000;
/** A session whose client vanished without a word ends after 10 + 3 x 5 s, and its locks with it. */
const KEEPALIVES =
  '-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3';

interface Session {
  readonly taken: readonly string[];
  readonly end: () => Promise<void>;
}

const open = async (
  databaseUrl: string,
  ids: readonly string[],
  onLost: (error: Error) => void,
): Promise<Session> => {
  const client = new pg.Client({
    connectionString: databaseUrl,
    connectionTimeoutMillis: CONNECT_MS,
    query_timeout: CONNECT_MS,
    keepAlive: true,
    options: KEEPALIVES,
  });
  let held = false;
  client.on('error', (error) => {
    if (held) onLost(error);
    held = false;
  });
  const end = async (): Promise<void> => {
    held = false;
    await client.end().catch(() => undefined);
  };
  try {
    await client.connect();
    const { rows } = await client.query<{ id: string; held: boolean }>(
      `select id, pg_try_advisory_lock(hashtextextended(id, 0)) as held from unnest($1::text[]) as id`,
      [ids],
    );
    held = true;
    return { taken: rows.flatMap((row) => (row.held ? [] : [row.id])), end };
  } catch (error) {
    await end();
    throw postgresError(error);
  }
};

/**
 * Holds transactional ids exclusively (rule 10 of docs/effectively-once.md): two holders of one id would fence each
 * other for ever. Session-level advisory locks: a crashed holder's end with its connection. Where only the connection
 * ends, they are taken again as soon as Postgres is back: else a second worker could slip into the slot.
 * @throws PipelineError postgres_unavailable | postgres_refused
 */
export const lockSlots = async (
  databaseUrl: string,
  ids: readonly string[],
  onEvent: (event: SlotEvent) => void,
): Promise<SlotLock> => {
  let released = false;
  let session: Session | null = null;
  const wanted = (): boolean => !released;

  const regain = async (): Promise<void> => {
    let told = false;
    while (wanted()) {
      await new Promise((resolve) => setTimeout(resolve, REGAIN_MS).unref());
      const next = await open(databaseUrl, ids, lost).catch(() => null);
      if (next === null) continue;
      if (next.taken.length === 0 && wanted()) {
        session = next;
        onEvent({ kind: 'regained' });
        return;
      }
      await next.end();
      if (!told && wanted()) onEvent({ kind: 'taken', ids: next.taken });
      told = true;
    }
  };
  const lost = (error: Error): void => {
    session = null;
    if (released) return;
    onEvent({ kind: 'lost', error });
    void regain();
  };

  session = await open(databaseUrl, ids, lost);
  return {
    taken: session.taken,
    release: async () => {
      released = true;
      await session?.end();
    },
  };
};
