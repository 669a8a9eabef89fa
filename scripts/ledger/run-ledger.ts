import type { QuotaConfig, TenantConfig } from '../../schemas/config.js';
import { migrate } from '../../sinks/postgres/migrate.js';
import { DEFAULT_SCHEMA, type Database, openDatabase } from '../../sinks/postgres/pool.js';
import { postgresQuotas } from '../../sinks/postgres/quotas.js';
import { funded } from '../../sinks/postgres/testing/funded.js';
import { startOwnPostgres } from '../testing/own-postgres.js';
import { CHANNELS, CURRENCY, LINES, LedgerClient, TENANT, type Tally } from './client.js';
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

/** Filled in the first half of a run: first the dearer channel, then the other. */
const quotas = (operations: number): readonly TenantConfig[] => {
  const micros = (amount: number) => (amount / 1e6).toFixed(6);
  const quota = (
    channel: string,
    limit: Pick<QuotaConfig, 'cash' | 'units'>,
    elasticFactor = 1,
  ) => ({
    ...{ channel, period: 'day' as const, elasticFactor },
    ...limit,
  });
  const [dear, cheap] = CHANNELS;
  const ofLine: Partial<Record<(typeof LINES)[number], readonly QuotaConfig[]>> = {
    d: [
      quota(dear, { units: Math.ceil(operations / 240) }, 1.2),
      quota(cheap, { units: Math.ceil(operations / 60) }),
    ],
    e: [
      quota(dear, { cash: micros(operations / 5) }),
      quota(cheap, { cash: micros(operations / 10) }),
    ],
  };
  return [
    {
      id: TENANT,
      ownIngest: false,
      lanes: ['p1'],
      quotas: [quota(dear, { units: Math.ceil(operations / 20) })],
      businessLines: LINES.map((name) => ({
        ...{ name, currency: CURRENCY, initialCash: '0', initialUnits: 0 },
        quotas: [...(ofLine[name] ?? [])],
      })),
    },
  ];
};

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
    await postgresQuotas(database).set(quotas(operations));
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
    overQuota: total('overQuota'),
    narrowed: total('narrowed'),
    duplicates: total('duplicates'),
    postings: total('postings'),
    expired: total('expired'),
    booked: total('booked'),
    repeated: total('repeated'),
  };
};
