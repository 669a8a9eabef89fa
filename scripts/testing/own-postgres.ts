import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { makeStackDirs } from '../../infra/stack/paths.mjs';
import { ownedDir, postgresHome } from '../../infra/stack/postgres-home.mjs';
import { runCommand } from '../../infra/stack/run-command.mjs';
import { freePort } from '../installation/free-port.js';
import { until } from '../installation/until.js';
import { type Server, startServer } from '../secured/process.js';

/** A Postgres that may be killed, with what it has acknowledged on disk (fsync on). */
export interface OwnPostgres {
  readonly url: string;
  /** SIGKILL, as when its machine dies, and started again on the same port; resolves once it answers. */
  readonly crash: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

const START_MS = 60_000;

export const startOwnPostgres = async (): Promise<OwnPostgres> => {
  const port = await freePort();
  makeStackDirs();
  const { native, owner } = await postgresHome();
  // Postgres refuses to run as root, and its own user may not enter our folders.
  const dir = mkdtempSync(path.join(tmpdir(), 'millrace-postgres-'));
  const data = path.join(dir, 'data');
  mkdirSync(data);
  for (const folder of [dir, data]) ownedDir(folder, owner);
  writeFileSync(path.join(dir, 'pw'), 'millrace', { mode: 0o644 });
  const as = owner ?? {};
  await runCommand(
    path.join(native, 'bin', 'initdb'),
    [
      ...['-D', data, '-U', 'millrace', '--auth=scram-sha-256', `--pwfile=${dir}/pw`],
      ...['--encoding=UTF8', '--locale=C'],
    ],
    { cwd: dir, deadlineMs: START_MS, ...as },
  );
  const url = `postgres://millrace:millrace@127.0.0.1:${port}/postgres`;
  const settings = { port, listen_addresses: '127.0.0.1', unix_socket_directories: '' };
  const launch = {
    command: path.join(native, 'bin', 'postgres'),
    args: [
      '-D',
      data,
      ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ],
    cwd: dir,
    ...as,
  };
  let server: Server | null = await startServer(launch, () => answers(url));
  const stop = async (): Promise<void> => {
    await server?.stop();
    server = null;
  };
  return {
    url,
    async crash() {
      await stop();
      // It refuses to start while its predecessor's processes still end.
      await until('Postgres is back', START_MS, async () => {
        server = await startServer(launch, () => answers(url)).catch(() => null);
        return server !== null;
      });
    },
    async stop() {
      await stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
};

const answers = async (url: string): Promise<boolean> => {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('select 1');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
};
