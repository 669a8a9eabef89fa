// @ts-check
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { askRedis } from './redis-wire.mjs';
import { dataDir } from './paths.mjs';
import { onPath } from './on-path.mjs';
/** @import { Component } from './components.mjs' */

const dir = join(dataDir, 'redis');

/** @type {Component} */
export const redis = {
  name: 'redis',
  version: '7',
  ports: (ports) => [{ port: ports.redis, purpose: 'Redis' }],
  async launch({ ports }) {
    await mkdir(dir, { recursive: true });
    return {
      ...redisServer(),
      args: [
        ...['--bind', '127.0.0.1', '--port', String(ports.redis), '--dir', dir],
        // No forks in the middle of a measurement; `down` saves once, with SHUTDOWN SAVE.
        ...['--save', ''],
        // Evicting a key would let a duplicate through: better a refused write that is seen.
        ...['--maxmemory-policy', 'noeviction'],
      ],
      cwd: dir,
    };
  },
  ready: async (url) => (await askRedis(url, ['PING']))?.startsWith('+PONG') ?? false,
  // Read once. After a crash Redis is empty, as after a crash elsewhere, not days behind.
  afterStart: () => rm(join(dir, 'dump.rdb'), { force: true }),
  async beforeStop(url) {
    await askRedis(url, ['SHUTDOWN', 'SAVE']);
  },
  startDeadlineMs: 180_000,
  stop: { signal: 'SIGTERM', graceMs: 10_000 },
};

/**
 * Debian's redis-server package is a service plus a link to this same binary, which redis-tools
 * holds and which looks at the name it is called by. Set-up installs redis-tools only, so that no
 * service is started on the machine.
 */
function redisServer() {
  const server = onPath('redis-server');
  if (server) return { command: server };
  return { command: onPath('redis-check-rdb') ?? 'redis-server', argv0: 'redis-server' };
}
