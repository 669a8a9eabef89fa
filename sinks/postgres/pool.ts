import pg from 'pg';
import type { PoolConfig, QueryResultRow } from 'pg';
import { postgresError } from './postgres-error.js';

/** Where an installation's tables lie: a schema of its own, so that several share a database. */
export const DEFAULT_SCHEMA = 'millrace';

export interface PoolOptions {
  readonly databaseUrl: string;
  readonly schema?: string;
  /** Connections at most; one per task that calls at once is enough. */
  readonly maxConnections?: number;
  /** Longest statement, ms; default 15 s: a batch takes milliseconds. */
  readonly statementMs?: number;
  /** A connection that nobody used broke: the pool replaces it. */
  readonly onIdleError?: (error: Error) => void;
}

/** Rows of one statement. A named statement is parsed and planned once per connection. */
export interface Database {
  /** @throws PipelineError postgres_unavailable (retry) | postgres_refused (stop) */
  readonly query: <Row extends QueryResultRow>(
    statement: { readonly name: string; readonly text: string },
    values?: readonly unknown[],
  ) => Promise<Row[]>;
  readonly close: () => Promise<void>;
}

/** A batch takes milliseconds; one that waits for a lock so long will not get it. */
const STATEMENT_MS = 15_000;

const INT8: number = pg.types.builtins.INT8;

/** int8 is money and counts here: bigint, never a number that rounds. */
const types: NonNullable<PoolConfig['types']> = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary'): unknown =>
    oid === INT8 && format !== 'binary'
      ? BigInt
      : // As pg has it: any oid, also those its enum does not name.
        (pg.types.getTypeParser as (oid: number, format?: string) => unknown)(
          oid,
          format,
        )) as typeof pg.types.getTypeParser,
};

const IDENTIFIER = /^[a-z_][a-z0-9_]{0,62}$/;

/** The schema's name if it needs no quoting anywhere; it goes into connection options. */
export const checkedSchema = (schema: string): string => {
  if (!IDENTIFIER.test(schema)) throw postgresError(new Error(`schema name ${schema}`));
  return schema;
};

/** Opens lazily: the first query connects. */
export const openDatabase = ({
  databaseUrl,
  schema = DEFAULT_SCHEMA,
  maxConnections = 8,
  statementMs = STATEMENT_MS,
  onIdleError = () => undefined,
}: PoolOptions): Database => {
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    // Unqualified names in our SQL mean this schema, whatever the role's own path is.
    options: `-c search_path=${checkedSchema(schema)} -c timezone=UTC`,
    application_name: 'millrace',
    max: maxConnections,
    types,
    keepAlive: true,
    connectionTimeoutMillis: 3_000,
    statement_timeout: statementMs,
    // Longer than the server's, so that the server's word comes first; covers a server that is gone silently.
    query_timeout: statementMs + 5_000,
  });
  pool.on('error', onIdleError);
  return {
    query: async <Row extends QueryResultRow>(
      { name, text }: { readonly name: string; readonly text: string },
      values: readonly unknown[] = [],
    ) => {
      try {
        const { rows } = await pool.query<Row>({ name, text, values: [...values] });
        return rows;
      } catch (cause) {
        throw postgresError(cause);
      }
    },
    close: () => pool.end(),
  };
};
