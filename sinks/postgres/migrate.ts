import { runner } from 'node-pg-migrate';
import pg from 'pg';
import { grantsOf, ownFunctions, presentRoles } from './grants.js';
import { DEFAULT_SCHEMA, checkedSchema } from './pool.js';
import { postgresError } from './postgres-error.js';
import { migrationsFolder, sqlFunctions } from './sql-files.js';

/** Any number: all that migrate one database at a time agree on it. */
const LOCK = 7_276_544_301;

/**
 * Brings an installation's schema up to this release: migrations that are missing, then every function as this
 * release has it, and what the roles of grants.ts may do with all that, where there are such. Safe to run at every start and by several at once (one waits for the other).
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
    // All at once: a function as this release has it, not yet run as its owner, would refuse the workers.
    await client.query('begin');
    for (const definition of sqlFunctions()) await client.query(definition);
    await client.query(ownFunctions(schema));
    for (const role of await presentRoles(client, schema))
      for (const statement of grantsOf(schema, role)) await client.query(statement);
    await client.query('commit');
    return ran.map(({ name }) => name);
  } catch (cause) {
    throw postgresError(cause);
  } finally {
    await client.end();
  }
};
