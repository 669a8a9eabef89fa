import { runner } from 'node-pg-migrate';
import pg from 'pg';
import { DEFAULT_SCHEMA, checkedSchema } from './pool.js';
import { postgresError } from './postgres-error.js';
import { migrationsFolder, sqlFunctions } from './sql-files.js';

/** Any number: all that migrate one database at a time agree on it. */
const LOCK = 7_276_544_301;

/**
 * Brings an installation's schema up to this release: migrations that are missing, then every function as this
 * release has it. Safe to run at every start and by several at once (one waits for the other).
 * @returns names of the migrations that ran
 * @throws PipelineError postgres_unavailable (retry) | postgres_refused (stop)
 */
export const migrate = async (
  databaseUrl: string,
  schemaName: string = DEFAULT_SCHEMA,
): Promise<readonly string[]> => {
  const schema = checkedSchema(schemaName);
  const client = new pg.Client({
    connectionString: databaseUrl,
    options: `-c search_path=${schema}`,
    connectionTimeoutMillis: 3_000,
  });
  try {
    await client.connect();
    // node-pg-migrate's own lock fails instead of waiting; ours also covers the functions.
    await client.query('select pg_advisory_lock($1)', [LOCK]);
    const ran = await runner({
      dbClient: client,
      dir: migrationsFolder(),
      direction: 'up',
      migrationsTable: 'migrations',
      schema,
      createSchema: true,
      noLock: true,
      log: () => undefined,
    });
    for (const definition of sqlFunctions()) await client.query(definition);
    return ran.map(({ name }) => name);
  } catch (cause) {
    throw postgresError(cause);
  } finally {
    await client.end();
  }
};
