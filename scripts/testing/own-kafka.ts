import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { brokerLaunch, newClusterId } from '../../infra/stack/kafka-broker.mjs';
import { askBrokers } from '../../infra/stack/kafka-wire.mjs';
import { freePorts, type Server, startServer } from '../secured/process.js';

/** A broker that a test may kill, and leave with transactions that never end. */
export interface OwnKafka {
  readonly brokers: string;
  /** As when its machine dies: nothing is written, nobody is told. */
  readonly kill: () => Promise<void>;
  /** On the same port, with the same data; nothing to do where it runs. */
  readonly start: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

const START_MS = 120_000;
/** A test's topics are many and small. */
const HEAP = '-Xmx512m';

export const startOwnKafka = async (): Promise<OwnKafka> => {
  const [port = 0, controllerPort = 0] = await freePorts(2);
  const dir = mkdtempSync(path.join(tmpdir(), 'millrace-kafka-'));
  const node = { id: 1, port, controllerPort };
  const { command, args } = await brokerLaunch(node, [node], { dir, clusterId: newClusterId() });
  const brokers = `127.0.0.1:${port}`;
  const launch = {
    command,
    args: args.map((arg) => (arg.startsWith('-Xmx') ? HEAP : arg)),
    cwd: dir,
  };
  const start = (): Promise<Server> => startServer(launch, () => askBrokers(brokers), START_MS);
  let server: Server | null = await start();
  const kill = async (): Promise<void> => {
    await server?.stop();
    server = null;
  };
  return {
    brokers,
    kill,
    start: async () => {
      server ??= await start();
    },
    stop: async () => {
      await kill();
      rmSync(dir, { recursive: true, force: true });
    },
  };
};
