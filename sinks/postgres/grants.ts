import pg from 'pg';
import { DEFAULT_SCHEMA, checkedSchema } from './pool.js';
import { postgresError } from './postgres-error.js';

/**
 * Who may do what in Postgres. Each is a role without login, named `<schema>_<role>`; an installation's own users are
 * made members of it. Counters, reservations and the journal change by functions alone, which run as the schema's owner:
 * no role may write to a table of money, and nobody but the owner may change a function.
 */
export const DATABASE_ROLES = ['worker', 'operator', 'reader'] as const;
export type DatabaseRole = (typeof DATABASE_ROLES)[number];

interface Rights {
  /** Beside `select` on every table: what it may do to which. */
  readonly writes: Readonly<Record<string, string>>;
  /** Functions it calls itself; those called within are the owner's. */
  readonly calls: readonly string[];
}

const WORKER_CALLS = [
  'admit_passes',
  'book_recharge',
  'budget_level',
  'decide_receipts',
  'ensure_days',
  'expire_reservations',
  'grant_leases',
  'reserve',
  'return_leases',
  'settle',
  'store_attempts',
  'take_over_partitions',
] as const;

const WRITE = 'insert, update';

const RIGHTS: Readonly<Record<DatabaseRole, Rights>> = {
  worker: {
    // Beside its offsets what it tells and finds; a recharge that is decided is kept as it is by a trigger.
    writes: {
      offsets: WRITE,
      account_levels: WRITE,
      recharges: WRITE,
      reconciliations: 'insert',
      reconciliation_breaks: 'insert',
    },
    calls: WORKER_CALLS,
  },
  operator: {
    // Attempts are derived: reconcile may take them from `feedback` again.
    writes: { operator_actions: WRITE, recharges: WRITE, attempts: `${WRITE}, delete` },
    calls: [
      'book_recharge',
      'book_transfer',
      'correct_counters',
      'correct_reservation',
      'detach_day',
      'give_back_lease',
      'store_attempts',
    ],
  },
  reader: { writes: {}, calls: [] },
};

export const databaseRole = (schema: string, role: DatabaseRole): string =>
  `${checkedSchema(schema)}_${role}`;

/** What a role may do, as statements that can be run again and again; it must be there. */
export const grantsOf = (schema: string, role: DatabaseRole): readonly string[] => {
  const to = databaseRole(schema, role);
  const { writes, calls } = RIGHTS[role];
  return [
    `grant usage on schema ${schema} to ${to}`,
    `grant select on all tables in schema ${schema} to ${to}`,
    ...Object.entries(writes).map(
      ([table, privileges]) => `grant ${privileges} on ${schema}.${table} to ${to}`,
    ),
    ...(calls.length === 0 ? [] : [executes(schema, calls, to)]),
  ];
};

/** Each of that name: while releases run side by side a function is there as both of them call it. */
const executes = (schema: string, names: readonly string[], to: string): string => `do $grant$
declare
  v_function regprocedure;
begin
  for v_function in
    select oid from pg_proc
    where pronamespace = '${schema}'::regnamespace and proname in (${names.map((name) => `'${name}'`).join(', ')})
  loop
    execute format('grant execute on function %s to ${to}', v_function);
  end loop;
end $grant$`;

export const roleStatements = (schema: string, role: DatabaseRole): readonly string[] => [
  `create role ${databaseRole(schema, role)} nologin`,
  ...grantsOf(schema, role),
];

/**
 * Functions that touch tables run as their owner, found in this schema and nowhere else; nobody may call one unasked.
 * Those in SQL only compute: they are inlined, and anybody's.
 */
export const ownFunctions = (schema: string): string => `do $own$
declare
  v_function regprocedure;
begin
  for v_function in
    select p.oid from pg_proc p
    join pg_language l on l.oid = p.prolang
    where p.pronamespace = '${schema}'::regnamespace and l.lanname = 'plpgsql'
  loop
    execute format('alter function %s security definer set search_path = ${schema}, pg_temp', v_function);
    execute format('revoke execute on function %s from public', v_function);
  end loop;
end $own$`;

/** Roles of this schema that the cluster has. */
export const presentRoles = async (
  client: pg.ClientBase,
  schema: string,
): Promise<readonly DatabaseRole[]> => {
  const { rows } = await client.query<{ rolname: string }>(
    'select rolname from pg_roles where rolname = any($1::text[])',
    [DATABASE_ROLES.map((role) => databaseRole(schema, role))],
  );
  const names = new Set(rows.map(({ rolname }) => rolname));
  return DATABASE_ROLES.filter((role) => names.has(databaseRole(schema, role)));
};

/**
 * Makes the roles that the cluster lacks, and gives all of them their rights.
 * @returns those that were made
 * @throws PipelineError postgres_unavailable | postgres_refused: the user may not make roles, or does not own the schema
 */
export const applyGrants = async (
  databaseUrl: string,
  schemaName: string = DEFAULT_SCHEMA,
): Promise<readonly DatabaseRole[]> => {
  const schema = checkedSchema(schemaName);
  const client = new pg.Client({
    connectionString: databaseUrl,
    connectionTimeoutMillis: 3_000,
  });
  try {
    await client.connect();
    const there = await presentRoles(client, schema);
    const missing = DATABASE_ROLES.filter((role) => !there.includes(role));
    await client.query('begin');
    for (const role of missing)
      await client.query(`create role ${databaseRole(schema, role)} nologin`);
    for (const role of DATABASE_ROLES)
      for (const statement of grantsOf(schema, role)) await client.query(statement);
    await client.query('commit');
    return missing;
  } catch (cause) {
    throw postgresError(cause);
  } finally {
    await client.end();
  }
};
