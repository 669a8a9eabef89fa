import { PipelineError } from '../../../schemas/error.js';
import type { Database } from '../pool.js';

/**
 * A database whose nth statement (from 0) ends the caller: `before`, it never came to Postgres; `after`, Postgres did it
 * and nobody heard. All that follow fail, as for a process that is gone.
 */
export const failing = (database: Database, nth: number, when: 'before' | 'after'): Database => {
  let statements = 0;
  const gone = (): never => {
    throw new PipelineError('postgres_unavailable', `gone ${when} statement ${nth}`);
  };
  return {
    ...database,
    async query(statement, values) {
      const n = statements++;
      if (n > nth || (n === nth && when === 'before')) gone();
      const rows = await database.query(statement, values);
      if (n === nth) gone();
      return rows as never;
    },
  };
};
