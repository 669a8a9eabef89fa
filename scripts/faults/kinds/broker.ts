import { withAdmin } from '../../cli/kafka-admin.js';
import { until } from '../../installation/until.js';
import type { Random } from '../../traffic/random.js';
import { type FaultKind, type Scene, between, own, pause } from '../scene.js';
import type { Service } from '../services.js';

const AWAY_MS = { least: 1_500, most: 6_000 } as const;
/** Above and below the 9 s after which the controller fences a silent broker. */
const STILL_MS = { least: 3_000, most: 12_000 } as const;
const IN_SYNC_MS = 60_000;
const ELECTED_MS = 30_000;

/** Copies in sync, fewest of any partition of the installation; 0 where nobody answers. */
const fewestInSync = ({ installation }: Scene): Promise<number> =>
  withAdmin(installation.environment.kafka, async (admin) => {
    const { topics } = await admin.fetchTopicMetadata({
      topics: installation.table.map(({ name }) => name),
    });
    return Math.min(...topics.flatMap(({ partitions }) => partitions.map(({ isr }) => isr.length)));
  }).catch(() => 0);

/** The next broker goes only when all copies are back: two at once are a fault of their own. */
const inSync = (scene: Scene): Promise<void> =>
  until('all copies in sync', IN_SYNC_MS, async () => {
    if ((await fewestInSync(scene)) === own(scene).brokers.length) return true;
    await pause(200);
    return false;
  });

/** The broker that leads some partition of an ingest topic. */
const leader = async (scene: Scene, random: Random): Promise<Service> => {
  const { brokers } = own(scene);
  const { names, environment } = scene.installation;
  const leaders = await withAdmin(environment.kafka, async (admin) => {
    const { topics } = await admin.fetchTopicMetadata({ topics: [names.ingest('p2')] });
    return topics.flatMap(({ partitions }) => partitions.map((one) => one.leader));
  });
  return brokers[random.pick(leaders) - 1] ?? random.pick(brokers);
};

const leaderKill: FaultKind = {
  name: 'leader SIGKILL',
  family: 'broker',
  needsOwnServices: true,
  inject: async (scene, random) => {
    const broker = await leader(scene, random);
    const ms = between(random, AWAY_MS.least, AWAY_MS.most);
    await broker.kill();
    await pause(ms);
    await broker.start();
    await inSync(scene);
    return `${broker.name} for ${ms} ms`;
  },
};

/** A broker as well here, so it also leads partitions; without it there is no leader's election either. */
const controllerKill: FaultKind = {
  name: 'controller SIGKILL',
  family: 'broker',
  needsOwnServices: true,
  inject: async (scene, random) => {
    const broker = own(scene).controller();
    if (broker === null) return null;
    const ms = between(random, AWAY_MS.least, AWAY_MS.most);
    await broker.kill();
    await until('another controller', ELECTED_MS, () => {
      const next = own(scene).controller();
      return next !== null && next !== broker;
    });
    await pause(ms);
    await broker.start();
    await inSync(scene);
    return `${broker.name} for ${ms} ms after another was elected`;
  },
};

const brokerStop: FaultKind = {
  name: 'broker SIGSTOP',
  family: 'broker',
  needsOwnServices: true,
  inject: async (scene, random) => {
    const broker = random.pick(own(scene).brokers);
    const ms = between(random, STILL_MS.least, STILL_MS.most);
    broker.standStill();
    await pause(ms);
    broker.wakeUp();
    await inSync(scene);
    return `${broker.name} for ${ms} ms`;
  },
};

const rollingBrokers: FaultKind = {
  name: 'rolling broker restart',
  family: 'broker',
  needsOwnServices: true,
  inject: async (scene) => {
    for (const broker of own(scene).brokers) {
      await broker.stop();
      await broker.start();
      await inSync(scene);
    }
    return 'one after the other';
  },
};

/** Two of three: neither writes (min.insync.replicas 2) nor a controller's quorum. */
const twoBrokers: FaultKind = {
  name: 'two brokers SIGKILL',
  family: 'broker',
  needsOwnServices: true,
  inject: async (scene, random) => {
    const kept = random.pick(own(scene).brokers);
    const killed = own(scene).brokers.filter((broker) => broker !== kept);
    const ms = between(random, AWAY_MS.least, AWAY_MS.most);
    await Promise.all(killed.map((broker) => broker.kill()));
    await pause(ms);
    await Promise.all(killed.map((broker) => broker.start()));
    await inSync(scene);
    return `all but ${kept.name} for ${ms} ms`;
  },
};

export const BROKERS: readonly FaultKind[] = [
  leaderKill,
  controllerKill,
  brokerStop,
  rollingBrokers,
  twoBrokers,
];
