import { existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { components } from '../../infra/stack/components.mjs';
import { reset } from '../../infra/stack/down.mjs';
import { stackVariables, endpoints } from '../../infra/stack/endpoints.mjs';
import { brokerLaunch, brokerLogDir, newClusterId } from '../../infra/stack/kafka-broker.mjs';
import { askBrokers } from '../../infra/stack/kafka-wire.mjs';
import { dataDir, makeStackDirs } from '../../infra/stack/paths.mjs';
import { portsFrom } from '../../infra/stack/ports.mjs';
import { progressTo } from '../../infra/stack/progress.mjs';
import { running, start, stop } from '../../infra/stack/supervision.mjs';
import { PipelineError, asError } from '../../schemas/error.js';
import { until } from '../installation/until.js';
import { activeController } from './controller.js';
import { KafkaProxy } from './kafka-proxy.js';

const BROKERS = [1, 2, 3] as const;
const READY_MS = 180_000;
const BROKER_STOP = { signal: 'SIGTERM', graceMs: 20_000 } as const;
/**
 * For Java programs that never live long: a smaller heap, and only the quick compiler (the other one took a third of a
 * small machine in the minutes that a cluster lives here).
 */
const SHORT_LIVED = ['-Xmx512m', '-XX:TieredStopAtLevel=1'];
/** Ports from the base on that a cluster uses. */
const BLOCK = 450;

type Launch = Parameters<typeof start>[1];

/** One process of the harness's own cluster, which it may kill. */
export class Service {
  readonly name: string;
  private readonly base: number;
  private readonly launch: () => Promise<Launch>;
  private readonly ready: () => Promise<boolean>;
  private readonly how: Parameters<typeof stop>[1];

  constructor(options: {
    readonly name: string;
    readonly base: number;
    readonly launch: () => Promise<Launch>;
    readonly ready: () => Promise<boolean>;
    readonly stop: Parameters<typeof stop>[1];
  }) {
    this.name = options.name;
    this.base = options.base;
    this.launch = options.launch;
    this.ready = options.ready;
    this.how = options.stop;
  }

  get up(): boolean {
    return running(this.name) !== null;
  }

  /** Starts it where it does not run, and waits until it answers. */
  async start(): Promise<void> {
    await until(`${this.name} answers`, READY_MS, async () => {
      // Again where it has ended: Postgres, for one, waits for its dead predecessor's children.
      await this.spawn();
      return this.ready();
    });
  }

  /** Starts it where it does not run. */
  async spawn(): Promise<void> {
    if (!this.up) await start(this.name, await this.launch(), this.base);
  }

  /** As an operator would. */
  async stop(): Promise<void> {
    await stop(this.name, this.how);
  }

  /** SIGKILL to it and its children; as when its machine dies. */
  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await until(`${this.name} is gone`, 10_000, () => !this.up);
  }

  standStill(): void {
    this.signal('SIGSTOP');
  }

  wakeUp(): void {
    this.signal('SIGCONT');
  }

  private signal(signal: NodeJS.Signals): void {
    const record = running(this.name);
    if (record !== null) process.kill(-record.pid, signal);
  }
}

/** Everything the harness started for itself and may break. */
export interface OwnServices {
  readonly brokers: readonly Service[];
  /** The broker that is the active controller now; null: none is elected. */
  readonly controller: () => Service | null;
  readonly registry: Service;
  readonly postgres: Service;
  readonly redis: Service;
  readonly influx: Service;
  readonly proxies: readonly KafkaProxy[];
  /** For everyone but the workers: addresses without proxies. */
  readonly variables: Readonly<Record<string, string>>;
  /** Broker addresses that lead through the proxies. */
  readonly proxied: string;
  readonly close: () => Promise<void>;
}

/** Ports beside those of the stack's own block (infra/stack/ports.mjs). */
const portsOf = (base: number, id: number) => ({
  port: base + 100 + id,
  controllerPort: base + 110 + id,
  proxied: { port: base + 120 + id, advertised: base + 130 + id },
});

/**
 * A fresh three-broker cluster (three copies, two needed), registry, Postgres, Redis and InfluxDB, in the folder that
 * MILLRACE_STACK_DIR names. What an interrupted run left there is ended first.
 */
export const startServices = async (
  base: number,
  say: (line: string) => void,
): Promise<OwnServices> => {
  refuseEphemeral(base);
  const progress = progressTo({
    write: (text: string) => {
      say(text.trimEnd());
    },
  });
  await stopAll();
  await reset({ progress });
  rmSync(dataDir, { recursive: true, force: true });
  makeStackDirs();

  const nodes = BROKERS.map((id) => ({ id, ...portsOf(base, id) }));
  const clusterId = newClusterId();
  const brokers = nodes.map(
    (node) =>
      new Service({
        name: brokerName(node.id),
        base,
        launch: async () => {
          return shortLived(
            await brokerLaunch(node, nodes, {
              dir: brokerDir(node.id),
              clusterId,
            }),
          );
        },
        ready: () => askBrokers(`127.0.0.1:${node.port}`),
        stop: BROKER_STOP,
      }),
  );
  const ports = portsFrom(base);
  const where = endpoints({}, ports);
  const others = new Map(
    components.map((component) => [
      component.name,
      new Service({
        name: component.name,
        base,
        launch: async () => {
          const launch = await component.launch({ ports, progress });
          return component.name === 'registry' ? shortLived(launch) : launch;
        },
        ready: async () => {
          const ready = await component.ready(where[component.name].url);
          if (ready) await component.afterStart?.(where[component.name].url);
          return ready;
        },
        stop: component.stop,
      }),
    ]),
  );
  const named = (name: (typeof components)[number]['name']): Service => {
    const service = others.get(name);
    if (service === undefined) throw new Error(`the stack has no ${name}`);
    return service;
  };
  const registry = named('registry');
  const postgres = named('postgres');
  const redis = named('redis');
  const influx = named('influx');
  const all = [...brokers, registry, postgres, redis, influx];
  const proxies: KafkaProxy[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(proxies.map((proxy) => proxy.close()));
    // Nothing of theirs is needed again but their logs.
    await Promise.all(all.map((service) => service.kill().catch(() => undefined)));
  };
  try {
    for (const node of nodes)
      proxies.push(await KafkaProxy.open(node.proxied.advertised, node.proxied.port));
    const since = Date.now();
    // One by one: seven programs that format and load at once take a small machine's breath away.
    for (const service of all) await service.spawn();
    // All of them, also where one fails: what still starts could not be stopped yet.
    const outcomes = await Promise.allSettled(all.map((service) => service.start()));
    for (const outcome of outcomes)
      if (outcome.status === 'rejected') throw asError(outcome.reason);
    say(
      `cluster    3 brokers and 4 others up in ${((Date.now() - since) / 1_000).toFixed(0)} s, base ${base}`,
    );
  } catch (error) {
    await close();
    throw error;
  }
  const addresses = nodes.map(({ port }) => `127.0.0.1:${port}`).join(',');
  return {
    brokers,
    controller: () => {
      const id = activeController(nodes.map((node) => brokerLogDir(brokerDir(node.id))));
      return brokers.find(({ name }) => id !== null && name === brokerName(id)) ?? null;
    },
    registry,
    postgres,
    redis,
    influx,
    proxies,
    variables: { ...stackVariables({}, where), KAFKA_BROKERS: addresses },
    proxied: nodes.map(({ proxied }) => `127.0.0.1:${proxied.advertised}`).join(','),
    close,
  };
};

/**
 * Clients of a broker that is down may be given its port as their own, or even connect to themselves: it then never
 * comes up again (seen).
 */
const refuseEphemeral = (base: number): void => {
  const file = '/proc/sys/net/ipv4/ip_local_port_range';
  if (!existsSync(file)) return;
  const [least = 0, most = 0] = readFileSync(file, 'utf8').trim().split(/\s+/).map(Number);
  if (base + BLOCK < least || base > most) return;
  throw new PipelineError(
    'config_invalid',
    `MILLRACE_PORT_BASE is ${base}: ports from ${least} to ${most} are lent to clients here; choose a base below ${least - BLOCK}`,
  );
};

const shortLived = (launch: Launch): Launch => ({
  ...launch,
  args: [...SHORT_LIVED, ...launch.args.filter((arg) => !arg.startsWith('-Xmx'))],
});

const brokerName = (id: number): string => `kafka-${id}`;

const brokerDir = (id: number): string => path.join(dataDir, brokerName(id));

/** What a run that was killed left behind. */
const stopAll = async (): Promise<void> => {
  await Promise.all(
    BROKERS.map((id) => stop(brokerName(id), { signal: 'SIGKILL', graceMs: 10_000 })),
  );
};
