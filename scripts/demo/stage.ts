import type { BusinessConfig } from '../../schemas/config.js';
import { PipelineError, asError } from '../../schemas/error.js';
import type { SchemaRegistry } from '../../schemas/registry.js';
import { schemaRegistry } from '../../schemas/registry.js';
import { LANES } from '../../schemas/generated/records.js';
import type { Database } from '../../sinks/postgres/pool.js';
import { openDatabase } from '../../sinks/postgres/pool.js';
import type { Environment, KafkaEnvironment } from '../../topologies/config.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import { WORKER_GROUPS } from '../../topologies/main.js';
import { topicNames } from '../../topologies/topic-names.js';
import { Accounting } from './accounting.js';
import { BreakerLog } from './breaker-log.js';
import { demoConfig } from './demo-config.js';
import type { DemoInstallation } from './installation.js';
import { install, uninstall } from './installation.js';
import { Bookings } from './money.js';
import type { Learners, Observer } from './observer.js';
import { observe } from './observer.js';
import { AttemptsSeen } from './provider-log.js';
import { type Roles, grantRun, rolesOf } from './roles.js';
import type { RunIdentity } from './run-identity.js';
import type { DemoSimulator } from './simulator.js';
import { startSimulator } from './simulator.js';
import { WindowTotals } from './window-totals.js';
import { freePort } from '../installation/free-port.js';
import type { DemoWorker, WorkerOptions } from './worker.js';
import { startWorker, together } from './worker.js';

/** Everything of a run that is up. */
export interface Stage {
  readonly identity: RunIdentity;
  /** How the traffic's producer connects. */
  readonly producer: KafkaEnvironment;
  readonly config: BusinessConfig;
  readonly installation: DemoInstallation;
  readonly simulator: DemoSimulator;
  readonly worker: DemoWorker;
  readonly learners: Learners;
  readonly observer: Observer;
  readonly database: Database;
  /** Variables with which the commands work on this run. */
  readonly variables: Readonly<Record<string, string>>;
  /** Stops processes and removes what the run had to itself; answers what could not be removed. */
  readonly strike: (keep: boolean) => Promise<readonly string[]>;
}

export interface StageOptions {
  readonly identity: RunIdentity;
  readonly server: Pick<Environment, 'kafka' | 'postgres' | 'influx'>;
  readonly registry: Environment['registry'];
  /** The process's environment. */
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly seed: number;
  readonly keep: boolean;
  /** Messages a second that the sms provider is given, see demoConfig. */
  readonly ratePerSecond: number;
  readonly say: (line: string) => void;
}

/** Sets the stage: simulator, topics, schemas, accounts, configuration, reader, worker. On failure strikes it again. */
export const setStage = async (options: StageOptions): Promise<Stage> => {
  const { identity, server, say } = options;
  const undo: (() => Promise<unknown>)[] = [];
  try {
    return await setUp(options, undo);
  } catch (thrown) {
    say(`setting up failed; logs are in ${identity.folder}`);
    for (const step of undo.reverse()) await step().catch(() => undefined);
    if (undo.length === 0) await uninstall(identity.environment, server, []);
    throw asError(thrown);
  }
};

const setUp = async (options: StageOptions, undo: (() => Promise<unknown>)[]): Promise<Stage> => {
  const { identity, server, seed, keep, say } = options;
  const { environment, folder, secrets } = identity;
  const [callbackPort, healthPort] = await Promise.all([freePort(), freePort()]);

  const simulator = await startSimulator({ folder, seed, callbackPort, secrets, detached: keep });
  undo.push(() => simulator.child.stop());
  say(`carriers   simulated at ${simulator.url}`);

  const registry: SchemaRegistry = schemaRegistry(options.registry);
  undo.push(() => registry.close());
  const config = demoConfig(simulator.url, { smsPerSecond: options.ratePerSecond });
  const installation = await install(environment, server, registry, config);
  undo.push(() => uninstall(environment, server, installation.table));
  const roles = rolesOf(options.variables, environment.kafka.prefix);
  if (roles !== null) await grantRun(environment.kafka, config, installation.table);
  say(`topics     ${installation.table.length} with schemas, under ${environment.kafka.prefix}*`);

  const variables = {
    TOPIC_PREFIX: environment.kafka.prefix,
    DATABASE_URL: environment.postgres.url,
    INFLUX_BUCKET: environment.influx.bucket,
    CALLBACK_PORT: String(callbackPort),
    LOG_LEVEL: options.variables['LOG_LEVEL'] ?? 'warn',
    ...secrets,
  };
  const names = topicNames(environment.kafka.prefix);
  const learners: Learners = {
    accounting: new Accounting(LANES.map((lane) => names.ingest(lane))),
    bookings: new Bookings(),
    attempts: new AttemptsSeen(),
    breaker: new BreakerLog(),
    windowTotals: new WindowTotals(),
  };
  // Who watches everything is an operator.
  const watching =
    roles === null ? installation.settings : rdkafkaConnection(roles.kafka('operator'));
  const observer = observe({ ...installation, settings: watching }, names, learners);
  undo.push(() => observer.finish());
  const worker = await startWorkers(
    { folder, env: { ...options.variables, ...variables }, healthPort, detached: keep },
    roles,
    undo,
  );
  say(
    `worker     ready, http://127.0.0.1:${worker.healthPort}/readyz${roles === null ? '' : '; one a role, each with its own principal'}`,
  );
  const database = openDatabase({
    databaseUrl: environment.postgres.url,
    schema: environment.postgres.schema,
    maxConnections: 2,
  });
  undo.push(() => database.close());

  return {
    identity,
    producer: roles === null ? environment.kafka : roles.kafka('producer'),
    config,
    installation,
    simulator,
    worker,
    learners,
    observer,
    database,
    variables,
    strike: async (kept) => {
      await database.close();
      await registry.close();
      if (kept) {
        await observer.finish().catch(() => undefined);
        worker.child.release();
        simulator.child.release();
        return [];
      }
      await worker.child.stop();
      await simulator.child.stop();
      // Before its topics go: it could not reach their end any more, and would keep this process alive.
      await observer.finish().catch(() => undefined);
      return uninstall(environment, server, installation.table);
    },
  };
};

/** One worker; or, where each role has its own principal, one for each group of stages. */
const startWorkers = async (
  options: WorkerOptions,
  roles: Roles | null,
  undo: (() => Promise<unknown>)[],
): Promise<DemoWorker> => {
  const start = async (own: Partial<WorkerOptions>): Promise<DemoWorker> => {
    const worker = await startWorker({ ...options, ...own });
    undo.push(() => worker.child.stop());
    return worker;
  };
  if (roles === null) return start({});
  const workers = await Promise.all(
    WORKER_GROUPS.map(async (only) => {
      const principal = roles.variables(only);
      const own = Object.fromEntries(
        Object.entries(principal).filter(([name]) => name.startsWith('KAFKA_')),
      );
      return start({ only, env: { ...options.env, ...own }, healthPort: await freePort() });
    }),
  );
  const [first, ...others] = workers;
  if (first === undefined) throw new PipelineError('defect', 'there are worker groups');
  return together([first, ...others]);
};
