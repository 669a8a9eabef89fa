import type { Database, PoolOptions } from '../../sinks/postgres/pool.js';
import { openDatabase } from '../../sinks/postgres/pool.js';
import type { Environment } from '../../topologies/config.js';

/** Runs with one connection to the installation's Postgres. */
export const withDatabase = async <T>(
  { url, schema }: Environment['postgres'],
  run: (database: Database) => Promise<T>,
  limits: Pick<PoolOptions, 'statementMs'> = {},
): Promise<T> => {
  const database = openDatabase({ databaseUrl: url, schema, maxConnections: 1, ...limits });
  try {
    return await run(database);
  } finally {
    await database.close();
  }
};
