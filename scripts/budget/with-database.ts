import type { Database } from '../../sinks/postgres/pool.js';
import { openDatabase } from '../../sinks/postgres/pool.js';
import type { Cli } from '../cli/cli.js';

/** Runs with one connection to the installation's Postgres. */
export const withDatabase = async <T>(
  cli: Cli,
  run: (database: Database) => Promise<T>,
): Promise<T> => {
  const { url, schema } = cli.environment(['postgres']).postgres;
  const database = openDatabase({ databaseUrl: url, schema, maxConnections: 1 });
  try {
    return await run(database);
  } finally {
    await database.close();
  }
};
