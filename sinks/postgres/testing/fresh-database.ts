import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { migrate } from '../migrate.js';
import { openDatabase } from '../pool.js';
import type { Database } from '../pool.js';

/** A database of a test file's own, migrated, on the local stack's server. */
export interface FreshDatabase extends Database {
  readonly url: string;
  /** Closes and drops it. */
  readonly drop: () => Promise<void>;
}

const administer = async (statement: string, databaseUrl: string): Promise<void> => {
  const client = new pg.Client(databaseUrl);
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
};

/** @throws Error where DATABASE_URL is not set: `npm run stack up`, then source .stack/env */
export const freshDatabase = async (schema?: string): Promise<FreshDatabase> => {
  const serverUrl = process.env['DATABASE_URL'];
  if (serverUrl === undefined) throw new Error('DATABASE_URL is not set: source .stack/env');
  const name = `millrace_test_${randomBytes(6).toString('hex')}`;
  await administer(`create database ${name}`, serverUrl);
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  await migrate(url.href, schema);
  const database = openDatabase({
    databaseUrl: url.href,
    ...(schema !== undefined && { schema }),
  });
  return {
    ...database,
    url: url.href,
    async drop() {
      await database.close();
      await administer(`drop database ${name} with (force)`, serverUrl);
    },
  };
};
