import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { projectRoot } from '../../schemas/root.js';

const folder = (name: string): string => path.join(projectRoot(), 'sinks', 'postgres', name);

const queries = new Map<string, { readonly name: string; readonly text: string }>();

/** The text of queries/<name>.sql, with the name it is prepared under. Read once. */
export const sqlQuery = (name: string): { readonly name: string; readonly text: string } => {
  const known = queries.get(name);
  if (known !== undefined) return known;
  const text = readFileSync(path.join(folder('queries'), `${name}.sql`), 'utf8');
  const query = { name, text };
  queries.set(name, query);
  return query;
};

/** Every function's definition. Order does not matter: plpgsql resolves names when called. */
export const sqlFunctions = (): readonly string[] =>
  readdirSync(folder('functions'))
    .filter((file) => file.endsWith('.sql'))
    .sort()
    .map((file) => readFileSync(path.join(folder('functions'), file), 'utf8'));

/** Where node-pg-migrate finds the migrations. */
export const migrationsFolder = (): string => path.join(projectRoot(), 'infra', 'migrations');
