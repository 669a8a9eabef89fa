// @ts-check
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { identityOf } from './process-identity.mjs';
import { cacheDir } from './paths.mjs';
import { OperatorError } from './operator-error.mjs';

/** @param {string} path */
export const exists = (path) =>
  stat(path).then(
    () => true,
    () => false,
  );

/**
 * A directory of the cache, filled once. It is filled beside its place and renamed when complete
 * and verified, so a killed download is never mistaken for a finished one.
 * @param {string} name
 * @param {(dir: string) => Promise<void>} fill
 */
export async function cached(name, fill) {
  const place = join(cacheDir(), name);
  if (await exists(place)) return place;
  await mkdir(dirname(place), { recursive: true });
  await removeAbandoned(place);
  const partial = `${place}.partial-${process.pid}`;
  await mkdir(partial, { recursive: true });
  try {
    await fill(partial);
    await rename(partial, place).catch(async (error) => {
      // Another checkout was quicker: its copy passed the same checks.
      if (!(await exists(place))) throw error;
    });
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
  return place;
}

/** @param {string} place */
async function removeAbandoned(place) {
  const parent = dirname(place);
  for (const entry of await readdir(parent)) {
    const pid = entry.match(/\.partial-(\d+)$/)?.[1];
    if (pid !== undefined && identityOf(Number(pid)) === null) {
      await rm(join(parent, entry), { recursive: true, force: true });
    }
  }
}

/** @param {string} path */
export async function sha256(path) {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest('hex');
}

/**
 * @param {string} dir
 * @param {ReadonlyMap<string, string>} expected file name to sha256; all of them, and no other
 */
export async function verifyFiles(dir, expected) {
  for (const file of await readdir(dir)) {
    if (!expected.has(file)) throw tampered(`${file} was not expected in the download`);
  }
  for (const [file, sum] of expected) {
    const path = join(dir, file);
    if (!(await exists(path))) throw tampered(`${file} is missing from the download`);
    const actual = await sha256(path);
    if (actual !== sum) throw tampered(`${file} has sha256 ${actual}, pinned is ${sum}`);
  }
}

/** @param {string} what */
const tampered = (what) =>
  new OperatorError(
    `checksum: ${what}`,
    'Nothing of it was kept. Delete the file from the local Maven repository (~/.m2/repository) and run again; if it repeats, the mirror serves another file.',
  );
