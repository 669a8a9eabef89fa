// @ts-check
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exists } from '../../infra/stack/cache.mjs';
import { root } from '../../infra/stack/paths.mjs';
import { runCommand } from '../../infra/stack/run-command.mjs';
/** @import { Progress } from '../../infra/stack/progress.mjs' */

const sources = ['schemas', 'processors', 'sinks', 'topologies', 'infra', 'scripts'];
const settings = ['package-lock.json', 'tsconfig.json', 'tsconfig.build.json'];
const stamp = join(root, 'dist', '.millrace-built');

/**
 * Compiles to dist/ when a source has changed since the last compilation. Not only when one is
 * newer: a checkout of an older commit has sources of another time, too.
 * @param {Progress} progress
 */
export async function compile(progress) {
  const newest = await newestSource();
  if ((await readFile(stamp, 'utf8').catch(() => '')) === String(newest)) return;
  await progress.step('tsc', () =>
    runCommand(
      process.execPath,
      [join('node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.build.json'],
      {
        cwd: root,
        deadlineMs: 5 * 60_000,
        advice: 'The sources do not compile; npm run types says the same.',
      },
    ),
  );
  // The time of the newest source seen, not of now: one saved while tsc ran must count as newer.
  await writeFile(stamp, String(newest));
}

async function newestSource() {
  const times = await Promise.all([
    ...settings.map((name) => changedAt(join(root, name))),
    ...sources.map((name) => newestUnder(join(root, name))),
  ]);
  return Math.max(...times);
}

/**
 * @param {string} dir
 * @returns {Promise<number>}
 */
async function newestUnder(dir) {
  if (!(await exists(dir))) return 0;
  const entries = await readdir(dir, { withFileTypes: true });
  // The directory's own time too: a deleted file shows nowhere else.
  const times = await Promise.all([
    changedAt(dir),
    ...entries.map((entry) => {
      const path = join(dir, entry.name);
      if (entry.isDirectory()) return entry.name === 'node_modules' ? 0 : newestUnder(path);
      return /\.(ts|mts|json|avsc)$/.test(entry.name) ? changedAt(path) : 0;
    }),
  ]);
  return Math.max(...times);
}

/** @param {string} path */
const changedAt = (path) =>
  stat(path).then(
    ({ mtimeMs }) => Math.floor(mtimeMs),
    () => 0,
  );
