import { accountBurns } from '../sinks/postgres/burn.js';
import { accountsPending, leaseHealth, settleLag } from '../sinks/postgres/ledger-health.js';
import { postgresLedger } from '../sinks/postgres/ledger.js';
import type { Database } from '../sinks/postgres/pool.js';
import type { Chore } from './runtime/chores.js';
import type { LedgerMetrics } from './runtime/ledger-metrics.js';

const OFTEN_MS = 60_000;
/** All attached days are read for it. */
const SELDOM_MS = 900_000;
/** What burn and lag are of: at 5,000 messages a second the rows of these are a second's work. */
const RECENT_MS = 300_000;
/** What waits for its other half for longer is not on its way. */
const WAITING_MS = 600_000;

/** What the ledger says of itself: budgets and their burn often, drift and the age of what is pending now and then. */
export const ledgerWatch = (database: Database, metrics: LedgerMetrics): readonly Chore[] => [
  {
    name: 'budgets',
    everyMs: OFTEN_MS,
    run: async () => {
      metrics.balances(await postgresLedger(database).balances());
      const since = new Date(Date.now() - RECENT_MS);
      metrics.burns(await accountBurns(database, since));
      metrics.settleLag(await settleLag(database, since));
      metrics.leases(await leaseHealth(database, WAITING_MS));
    },
  },
  {
    name: 'drift',
    everyMs: SELDOM_MS,
    run: async () => {
      metrics.pending(await accountsPending(database));
    },
  },
];
