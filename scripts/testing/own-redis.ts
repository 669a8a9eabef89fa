import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { onPath } from '../../infra/stack/on-path.mjs';
import { askRedis } from '../../infra/stack/redis-wire.mjs';
import { freePort } from '../installation/free-port.js';
import { type Server, startServer } from '../secured/process.js';

/** A Redis that a test may empty without taking anybody else's keys. */
export interface OwnRedis {
  readonly url: string;
  /** Every key of it. */
  readonly flush: () => Promise<void>;
  /** Dies, and comes back on the same port with nothing. */
  readonly restart: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

export const startOwnRedis = async (): Promise<OwnRedis> => {
  const port = await freePort();
  const url = `redis://127.0.0.1:${port}`;
  const dir = mkdtempSync(path.join(tmpdir(), 'millrace-redis-'));
  const start = (): Promise<Server> =>
    startServer(
      {
        command: onPath('redis-server') ?? onPath('redis-check-rdb') ?? 'redis-server',
        // Debian's one binary looks at the name that it is called by.
        argv0: 'redis-server',
        args: ['--bind', '127.0.0.1', '--port', String(port), '--save', '', '--dir', dir],
      },
      async () => (await askRedis(url, ['PING']))?.startsWith('+PONG') ?? false,
    );
  let server = await start();
  return {
    url,
    flush: async () => {
      await askRedis(url, ['FLUSHALL']);
    },
    restart: async () => {
      await server.stop();
      server = await start();
    },
    stop: () => server.stop(),
  };
};
