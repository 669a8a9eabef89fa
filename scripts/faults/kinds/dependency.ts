import { askRedis } from '../../../infra/stack/redis-wire.mjs';
import { type FaultKind, type Scene, between, own, pause } from '../scene.js';
import type { OwnServices, Service } from '../services.js';

const AWAY_MS = { least: 500, most: 5_000 } as const;
const PROVIDER_MS = { least: 1_500, most: 4_000 } as const;

const away = (
  name: string,
  which: (services: OwnServices) => Service,
  how: 'kill' | 'stop',
): FaultKind => ({
  name,
  family: 'dependency',
  needsOwnServices: true,
  inject: async (scene, random) => {
    const service = which(own(scene));
    const ms = between(random, AWAY_MS.least, AWAY_MS.most);
    await service[how]();
    await pause(ms);
    await service.start();
    return `${ms} ms`;
  },
});

/** Everything it knew is gone; it answers all the while. */
const redisFlush: FaultKind = {
  name: 'redis flushed',
  family: 'dependency',
  needsOwnServices: true,
  inject: async (scene) => {
    await askRedis(own(scene).variables['REDIS_URL'] ?? '', ['FLUSHALL']);
    return 'FLUSHALL';
  },
};

/** Away while a worker starts, who needs its schemas first. */
const registryAway: FaultKind = {
  name: 'registry away',
  family: 'dependency',
  needsOwnServices: true,
  inject: async (scene, random) => {
    const { registry } = own(scene);
    const ms = between(random, AWAY_MS.least, AWAY_MS.most);
    await registry.kill();
    await scene.fleet.guest(async () => {
      await pause(ms);
      await registry.start();
    });
    return `${ms} ms, while a worker started`;
  },
};

const provider = (name: string, change: object, well: object): FaultKind => ({
  name,
  family: 'dependency',
  carriersOnly: true,
  needsOwnServices: false,
  inject: async (scene, random) => {
    const ms = between(random, PROVIDER_MS.least, PROVIDER_MS.most);
    await ofAll(scene, change);
    await pause(ms);
    await ofAll(scene, well);
    return `${ms} ms`;
  },
});

const ofAll = async ({ simulator, endpoints }: Scene, change: object): Promise<void> => {
  for (const endpoint of endpoints) await simulator.change(endpoint, change);
};

export const DEPENDENCIES: readonly FaultKind[] = [
  away('postgres SIGKILL', ({ postgres }) => postgres, 'kill'),
  away('postgres restart', ({ postgres }) => postgres, 'stop'),
  redisFlush,
  away('redis SIGKILL', ({ redis }) => redis, 'kill'),
  away('influx away', ({ influx }) => influx, 'kill'),
  registryAway,
  // Beyond the 2 s that these channels wait: it has taken the message, and says so too late.
  provider(
    'provider late',
    { latencyMs: { p50: 4_000, p99: 4_000 } },
    { latencyMs: { p50: 10, p99: 60 } },
  ),
  provider('provider accepts and is silent', { unanswered: 0.5 }, { unanswered: 0 }),
  provider('provider cuts connections', { outage: 'reset' }, { outage: 'none' }),
  provider('provider hangs', { outage: 'hang' }, { outage: 'none' }),
  provider('provider answers 503', { outage: 'error' }, { outage: 'none' }),
];
