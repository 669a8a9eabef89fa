import path from 'node:path';
import { projectRoot } from '../../schemas/root.js';
import { Child } from './child.js';

const READY_MS = 20_000;

/** The carriers of a run. */
export interface DemoSimulator {
  readonly url: string;
  readonly journal: string;
  readonly child: Child;
  /** Changes how an endpoint behaves from now on. */
  readonly change: (endpoint: string, change: object) => Promise<void>;
}

export interface SimulatorOptions {
  readonly folder: string;
  readonly seed: number;
  readonly callbackPort: number;
  readonly secrets: Readonly<Record<string, string>>;
  readonly detached: boolean;
}

/** A receipt that was not acknowledged is pushed again after 1, 5 and 10 minutes; here after 10, 50 and 100 s. */
const TIME_FACTOR = 1 / 6;
/** Receipts within seconds, so that a demo sees every message's end; none lost, none a day late. */
const RECEIPTS = {
  delayMs: { p50: 800 / TIME_FACTOR, p99: 4_000 / TIME_FACTOR },
  late: 0,
  lost: 0,
  duplicate: 0.01,
};

export const startSimulator = async (options: SimulatorOptions): Promise<DemoSimulator> => {
  const journal = path.join(options.folder, 'providers.ndjson');
  const child = new Child({
    name: 'provider simulator',
    args: [
      path.join(projectRoot(), 'dist', 'infra', 'providers', 'main.js'),
      '--seed',
      String(options.seed),
      '--callback-url',
      `http://127.0.0.1:${options.callbackPort}`,
      '--journal',
      journal,
      '--time-factor',
      String(TIME_FACTOR),
    ],
    env: { ...process.env, ...options.secrets },
    log: path.join(options.folder, 'providers.log'),
    detached: options.detached,
  });
  const url = await child.until(READY_MS, () =>
    Promise.resolve(/providers: ready (\S+)/.exec(child.written())?.[1]),
  );
  const control = async (body: object): Promise<void> => {
    const answer = await fetch(`${url}/control`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(5_000),
    });
    if (!answer.ok) throw new Error(`the simulator refuses ${JSON.stringify(body)}`);
  };
  await control({ change: { receipts: RECEIPTS } });
  return { url, journal, child, change: (endpoint, change) => control({ endpoint, change }) };
};
