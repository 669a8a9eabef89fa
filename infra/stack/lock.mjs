// @ts-check
import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, OperatorError } from './operator-error.mjs';
import { makeStackDirs, stackDir } from './paths.mjs';
import { identityOf, isAlive } from './process-identity.mjs';
import { DeadlineError, until } from './wait.mjs';

/**
 * One at a time per checkout: two shells that run `npm run stack up` at once would otherwise both
 * find the ports free. A lock whose holder is gone is taken over.
 * @template T
 * @param {string} name
 * @param {{ deadlineMs: number, onWait?: (pid: number) => void, dir?: string }} options
 * @param {() => Promise<T>} work
 */
export async function withLock(name, { deadlineMs, onWait, dir = stackDir }, work) {
  if (dir === stackDir) makeStackDirs();
  const path = join(dir, `${name}.lock`);
  let told = false;
  await until(
    () => {
      if (tryLock(path)) return true;
      const holder = holderOf(path);
      if (holder && !told) {
        told = true;
        onWait?.(holder.pid);
      }
      return false;
    },
    { deadlineMs, everyMs: 100 },
  ).catch((error) => {
    if (!(error instanceof DeadlineError)) throw error;
    throw new OperatorError(
      `process ${holderOf(path)?.pid ?? '?'} has been at work on this checkout's ${name} for over ${deadlineMs / 1000} s`,
      `Wait for it or end it; the lock (${path}) goes with it.`,
    );
  });
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}

/** @param {string} path */
function tryLock(path) {
  const holder = holderOf(path);
  if (holder && isAlive(holder)) return false;
  if (holder) rmSync(path, { force: true });
  // Written first and linked after: a lock that is seen is a whole one.
  const own = `${path}.${process.pid}`;
  writeFileSync(own, JSON.stringify({ pid: process.pid, identity: identityOf(process.pid) }));
  try {
    linkSync(own, path);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(own, { force: true });
  }
  // Two may have found the same abandoned lock; the later one removed the earlier one's.
  return holderOf(path)?.pid === process.pid;
}

/** @param {string} path */
function holderOf(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return null;
  }
}
