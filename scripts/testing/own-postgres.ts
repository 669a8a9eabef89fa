import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { makeStackDirs } from '../../infra/stack/paths.mjs';
import { postgres } from '../../infra/stack/postgres.mjs';
import { ownedDir, postgresHome } from '../../infra/stack/postgres-home.mjs';
import { runCommand } from '../../infra/stack/run-command.mjs';
import { freePort } from '../installation/free-port.js';
import { until } from '../installation/until.js';
import { type Launch, type Server, startServer } from '../secured/process.js';

/** A Postgres that may be killed, with what it has acknowledged on disk (fsync on). */
export interface OwnPostgres {
  readonly url: string;
  /** SIGKILL, as when its machine dies, and started again on the same port; resolves once it answers. */
  readonly crash: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

const START_MS = 60_000;
const PASSWORD = 'millrace';

/** An empty cluster of Postgres in a folder of its own; no server runs yet. */
export interface PostgresCluster {
  /** Its data lie in `data`. */
  readonly dir: string;
  /** As whom its server runs, where we are root: it refuses to be. */
  readonly owner: Partial<{ readonly uid: number; readonly gid: number }>;
  /** How to start it; over TCP on 127.0.0.1 alone, with these settings besides. */
  readonly launch: (settings: Readonly<Record<string, string | number>>) => Launch;
  readonly remove: () => void;
}

/** For user millrace with this password. */
export const postgresCluster = async (password: string): Promise<PostgresCluster> => {
  makeStackDirs();
  const { native, owner } = await postgresHome();
  // Postgres refuses to run as root, and its own user may not enter our folders.
  const dir = mkdtempSync(path.join(tmpdir(), 'millrace-postgres-'));
  const data = path.join(dir, 'data');
  mkdirSync(data);
  for (const folder of [dir, data]) ownedDir(folder, owner);
  writeFileSync(path.join(dir, 'pw'), password, { mode: 0o644 });
  const as = owner ?? {};
  await runCommand(
    path.join(native, 'bin', 'initdb'),
    [
      ...['-D', data, '-U', 'millrace', '--auth=scram-sha-256', `--pwfile=${dir}/pw`],
      ...['--no-sync', '--encoding=UTF8', '--locale=C'],
    ],
    { cwd: dir, deadlineMs: START_MS, ...as },
  );
  rmSync(path.join(dir, 'pw'));
  return {
    dir,
    owner: as,
    launch: (settings) => ({
      command: path.join(native, 'bin', 'postgres'),
      args: [
        '-D',
        data,
        ...Object.entries({
          listen_addresses: '127.0.0.1',
          unix_socket_directories: '',
          ...settings,
        }).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
      ],
      cwd: dir,
      ...as,
    }),
    remove: () => {
      rmSync(dir, { recursive: true, force: true });
    },
  };
};

export const startOwnPostgres = async (): Promise<OwnPostgres> => {
  const port = await freePort();
  const cluster = await postgresCluster(PASSWORD);
  const url = `postgres://millrace:${PASSWORD}@127.0.0.1:${port}/postgres`;
  const start = (): Promise<Server> =>
    startServer(cluster.launch({ port }), () => postgres.ready(url));
  let server: Server | null = await start();
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
        server = await start().catch(() => null);
        return server !== null;
      });
    },
    async stop() {
      await stop();
      cluster.remove();
    },
  };
};
