import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { projectRoot } from '../../schemas/root.js';

const folder = (name: string): string => path.join(projectRoot(), 'sinks', 'postgres', name);

/** The text of queries/<name>.sql, with the name it is prepared under. */
export const sqlQuery = (name: string): { readonly name: string; readonly text: string } => ({
  name,
  text: readFileSync(path.join(folder('queries'), `${name}.sql`), 'utf8'),
});

/** Every function's definition. Order does not matter: plpgsql resolves names when called. */
export const sqlFunctions = (): readonly string[] =>
  readdirSync(folder('functions'))
    .filter((file) => file.endsWith('.sql'))
    .sort()
    .map((file) => readFileSync(path.join(folder('functions'), file), 'utf8'));

/** Where node-pg-migrate finds the migrations. */
export const migrationsFolder = (): string => path.join(projectRoot(), 'infra', 'migrations');
