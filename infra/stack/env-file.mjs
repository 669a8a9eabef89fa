// @ts-check
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { envFile } from './paths.mjs';

/**
 * @param {Readonly<Record<string, string>>} variables
 * @returns {string} lines a shell can source: `set -a` isn't needed
 */
export const envText = (variables) =>
  Object.entries(variables)
    .map(([name, value]) => `export ${name}=${quoted(value)}\n`)
    .join('');

/** @param {string} value */
const quoted = (value) => `'${value.replaceAll("'", `'\\''`)}'`;

/**
 * @param {string} text
 * @returns {Record<string, string>}
 */
export const parseEnv = (text) =>
  Object.fromEntries(
    [...text.matchAll(/^export (\w+)='(.*)'$/gm)].map(([, name = '', value = '']) => [
      name,
      value.replaceAll(`'\\''`, "'"),
    ]),
  );

/** @param {Readonly<Record<string, string>>} variables */
export function writeEnvFile(variables) {
  // Renamed into place: a reader never sees half of it. Only for us: it may hold a real password.
  const partial = `${envFile}.${process.pid}`;
  writeFileSync(partial, envText(variables), { mode: 0o600 });
  renameSync(partial, envFile);
}

export const removeEnvFile = () => rmSync(envFile, { force: true });
