import { migrate } from '../../sinks/postgres/migrate.js';
import { DEFAULT_SCHEMA, type Database, openDatabase } from '../../sinks/postgres/pool.js';
import { funded } from '../../sinks/postgres/testing/funded.js';
import { startOwnPostgres } from '../testing/own-postgres.js';
import { CURRENCY, LINES, LedgerClient, TENANT, type Tally } from './client.js';
import { type Judged, judge } from './judge.js';

export interface LedgerRunOptions {
  /** Messages reserved, postings and transfers; of all clients together. */
  readonly operations: number;
  readonly clients: number;
  /** Of Postgres, by SIGKILL, evenly through the run. */
  readonly kills: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

export interface LedgerReport extends Tally, Omit<Judged, 'examples'> {
  readonly kills: number;
  readonly clients: number;
  readonly accounts: number;
  readonly seed: number;
  readonly seconds: number;
  readonly problems: readonly string[];
}

const FIRST_GRANT = { cashMicros: 50_000n, units: 2_000n } as const;

/**
 * Random operations of several clients at once on a few accounts that are always nearly empty, on a Postgres of its own
 * that is killed again and again; then every row, account and transfer is compared with what the clients were told.
 */
export const runLedger = async (options: LedgerRunOptions): Promise<LedgerReport> => {
  const { operations, kills, seed, signal, say } = options;
  const postgres = await startOwnPostgres();
  const database = openDatabase({ databaseUrl: postgres.url, maxConnections: 1 });
  try {
    await migrate(postgres.url, DEFAULT_SCHEMA);
    const granted = await openAccounts(database);
    const began = Date.now();
    let done = 0;
    let killed = 0;
    const crashes: Promise<void>[] = [];
    const counted = (more: number): void => {
      done += more;
      if (killed >= kills || done < ((killed + 1) * operations) / (kills + 1)) return;
      killed += 1;
      say(
        `${done.toString()} operations; Postgres is killed (${killed.toString()} of ${kills.toString()})`,
      );
      // One after the other, however fast the clients are.
      crashes.push((crashes.at(-1) ?? Promise.resolve()).then(() => postgres.crash()));
    };
    const clients = Array.from(
      { length: options.clients },
      (_, number) =>
        new LedgerClient({
          url: postgres.url,
          schema: DEFAULT_SCHEMA,
          number,
          seed,
          operations: Math.ceil(operations / options.clients),
          done: counted,
          signal,
        }),
    );
    await Promise.all(clients.map((client) => client.run()));
    await Promise.all(crashes);
    const seconds = Math.round((Date.now() - began) / 1_000);
    say(`${done.toString()} operations in ${seconds.toString()} s; comparing`);
    const { examples, ...judged } = await judge(database, clients, granted);
    return {
      ...sum(clients.map(({ tally }) => tally)),
      ...judged,
      kills: killed,
      clients: clients.length,
      accounts: LINES.length,
      seed,
      seconds,
      problems: [...clients.flatMap(({ problems }) => problems), ...examples],
    };
  } finally {
    await database.close();
    await postgres.stop();
  }
};

const openAccounts = async (database: Database): Promise<string[]> => {
  const granted: string[] = [];
  for (const businessLine of LINES) {
    const transferId = `first:${businessLine}`;
    const account = { tenantId: TENANT, businessLine, currency: CURRENCY };
    await funded(database, { transferId, ...account, ...FIRST_GRANT });
    granted.push(transferId);
  }
  return granted;
};

const sum = (tallies: readonly Tally[]): Tally => {
  const total = (of: keyof Tally): number => tallies.reduce((all, one) => all + one[of], 0);
  return {
    operations: total('operations'),
    reserved: total('reserved'),
    refused: total('refused'),
    duplicates: total('duplicates'),
    postings: total('postings'),
    booked: total('booked'),
    repeated: total('repeated'),
  };
};
