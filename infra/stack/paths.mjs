// @ts-check
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout, also when this file runs as its copy in dist/. */
export const root = withPackageJson(dirname(fileURLToPath(import.meta.url)));

/** Everything a stack keeps; git ignores it and `reset` deletes it. */
export const stackDir = join(root, '.stack');
export const dataDir = join(stackDir, 'data');
const logDir = join(stackDir, 'logs');
export const runDir = join(stackDir, 'run');
export const envFile = join(stackDir, 'env');
/** The broker with security on: its data, its certificates, everyone's passwords. */
export const secureDir = join(stackDir, 'secure');

/** Tells two checkouts apart where they share a directory. */
export const checkoutId = createHash('sha256').update(root).digest('hex').slice(0, 10);

/**
 * @param {string} dir
 * @returns {string} the nearest directory above it that has a package.json
 */
function withPackageJson(dir) {
  if (existsSync(join(dir, 'package.json')) || dir === dirname(dir)) return dir;
  return withPackageJson(dirname(dir));
}

/** @param {string} name */
export const logFile = (name) => join(logDir, `${name}.log`);

export function makeStackDirs() {
  // Postgres refuses to run as root and then reads here as another user, whatever our umask is.
  for (const dir of [stackDir, dataDir, logDir, runDir]) {
    mkdirSync(dir, { recursive: true, mode: 0o755 });
  }
}

/**
 * Downloads and native builds, shared by every checkout of this machine: a fresh clone then
 * starts in seconds instead of compiling for minutes.
 * @param {NodeJS.ProcessEnv} [env]
 */
export function cacheDir(env = process.env) {
  if (env['MILLRACE_CACHE']) return resolve(env['MILLRACE_CACHE']);
  return join(
    env['XDG_CACHE_HOME'] ? resolve(env['XDG_CACHE_HOME']) : join(homedir(), '.cache'),
    'millrace',
  );
}
