import { DatabaseError } from 'pg';
import { PipelineError, asError } from '../../schemas/error.js';
import { tlsRefusal } from '../../schemas/tls-refusal.js';

/**
 * SQLSTATE classes and codes after which the same call may succeed: connection (08), transaction rollback such as
 * serialization failure and deadlock (40), insufficient resources (53), operator intervention (57), lock not
 * available (55P03), a standby that is still read-only (25006), I/O (58).
 * PostgreSQL documentation, appendix A.
 */
const PASSING = /^(08...|40...|53...|57...|58...|55P03|25006)$/;

/** A reservation with this key was inserted by another session in between: the same call then finds it. */
const UNIQUE_VIOLATION = '23505';

/** Invalid authorization specification, invalid password (class 28). */
const CREDENTIALS = /^28...$/;
/**
 * What a statement's values are refused for: data exceptions (22), an index row or the like that is too large (54). One
 * row of a set is enough: whoever asked finds out which. Not constraints (23): those are the ledger's last guards, and
 * what breaks one is our defect, which must stop us and bury nobody's message.
 */
const VALUES_REFUSED = /^(22|54)...$/;

/** Integrity constraints (class 23), but for the one that passes. */
const CONSTRAINT = /^23...$/;

const isPassing = (cause: unknown): boolean => {
  // Without a SQLSTATE the server did not answer at all: socket errors, time-outs, a closed connection.
  if (!(cause instanceof DatabaseError)) return true;
  const { code = '' } = cause;
  return PASSING.test(code) || code === UNIQUE_VIOLATION;
};

/** Anything that pg throws, with a verdict. The connection string never appears: it may hold a password. */
export const postgresError = (thrown: unknown): PipelineError => {
  if (thrown instanceof PipelineError) return thrown;
  const { message } = asError(thrown);
  const tls = tlsRefusal(thrown);
  if (tls !== null)
    return new PipelineError(
      'postgres_refused',
      `Postgres: ${tls}. Check DATABASE_URL and DATABASE_CA_LOCATION`,
      thrown,
    );
  if (thrown instanceof DatabaseError && CREDENTIALS.test(thrown.code ?? ''))
    return new PipelineError(
      'postgres_refused',
      `Postgres refuses our credentials: ${message}. Check DATABASE_URL, DATABASE_USERNAME and DATABASE_PASSWORD`,
      thrown,
    );
  if (isPassing(thrown))
    return new PipelineError('postgres_unavailable', `Postgres is away: ${message}`, thrown);
  // Its message may quote the value: the SQLSTATE and the constraint's name do not.
  if (thrown instanceof DatabaseError && VALUES_REFUSED.test(thrown.code ?? ''))
    return new PipelineError(
      'row_refused',
      `Postgres refuses a row: SQLSTATE ${thrown.code ?? ''}${thrown.constraint === undefined ? '' : `, constraint ${thrown.constraint}`}`,
      thrown,
    );
  if (thrown instanceof DatabaseError && CONSTRAINT.test(thrown.code ?? ''))
    return new PipelineError(
      'postgres_refused',
      `Postgres refuses what would break the ledger: ${brokenRule(thrown)}. Nothing was written and nothing skipped, and it will be refused again. Keep the constraint; look at the account with millrace status, undo what was changed in these tables by hand, run millrace doctor, and report this line`,
      thrown,
    );
  return new PipelineError(
    'postgres_refused',
    `Postgres refuses: ${message}. Check DATABASE_URL, the role's rights, and that migrations ran`,
    thrown,
  );
};

/** Names only: the detail of a DatabaseError quotes the row. What our own triggers raise has neither, but words. */
const brokenRule = ({ code = '', constraint, table, column, message }: DatabaseError): string => {
  const what =
    constraint !== undefined
      ? `constraint ${constraint}`
      : column !== undefined
        ? `column ${column}`
        : message;
  return `${what}${table === undefined ? '' : ` of table ${table}`} (SQLSTATE ${code})`;
};
