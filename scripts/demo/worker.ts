import path from 'node:path';
import { projectRoot } from '../../schemas/root.js';
import { YOUNG_GENERATION } from '../installation/worker-process.js';
import { Child } from './child.js';

/** Four workers start at once where each role has its own. */
const READY_MS = 180_000;
const ASK_MS = 2_000;

/** What a worker counts of itself: for the live view only, never for the result. */
export interface WorkerFigures {
  /** Records taken by stage, since its start. */
  readonly taken: ReadonlyMap<string, number>;
  /** Records waiting by lane; `all` for what has no lane. */
  readonly waiting: ReadonlyMap<string, number>;
}

export interface DemoWorker {
  readonly child: Pick<Child, 'pid' | 'ended' | 'lastWords' | 'stop' | 'release'>;
  readonly healthPort: number;
  /** undefined while it does not answer. */
  readonly figures: () => Promise<WorkerFigures | undefined>;
}

export interface WorkerOptions {
  readonly folder: string;
  /** Connections, prefix, secrets, CALLBACK_PORT. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly healthPort: number;
  readonly detached: boolean;
  /** Only these stages; default all. */
  readonly only?: string;
}

/** Starts `millrace run` and waits until it takes records. */
export const startWorker = async (options: WorkerOptions): Promise<DemoWorker> => {
  const { healthPort } = options;
  const child = new Child({
    name: options.only === undefined ? 'worker' : `${options.only} worker`,
    args: [
      YOUNG_GENERATION,
      path.join(projectRoot(), 'scripts', 'millrace.cjs'),
      'run',
      ...(options.only === undefined ? [] : ['--only', options.only]),
    ],
    env: { ...options.env, HEALTH_PORT: String(healthPort) },
    log: path.join(options.folder, `${options.only ?? 'worker'}.log`),
    detached: options.detached,
  });
  const base = `http://127.0.0.1:${healthPort}`;
  await child.until(READY_MS, async () => {
    const ready = await ask(`${base}/readyz`);
    return ready?.ok === true ? true : undefined;
  });
  return {
    child,
    healthPort,
    figures: async () => {
      const answer = await ask(`${base}/metrics`);
      return answer?.ok === true ? figuresOf(await answer.text()) : undefined;
    },
  };
};

/** Several workers as one: it has ended when one of them has. */
export const together = (workers: readonly [DemoWorker, ...DemoWorker[]]): DemoWorker => {
  const children = workers.map(({ child }) => child);
  const [first] = workers;
  return {
    child: {
      pid: first.child.pid,
      get ended() {
        return children.some(({ ended }) => ended);
      },
      lastWords: () =>
        children.flatMap((child) => (child.ended ? [child.lastWords()] : [])).join('\n'),
      stop: async () => {
        await Promise.all(children.map((child) => child.stop()));
      },
      release: () => {
        for (const child of children) child.release();
      },
    },
    healthPort: first.healthPort,
    figures: async () => {
      const all = await Promise.all(workers.map(({ figures }) => figures()));
      const sum = (pick: (one: WorkerFigures) => ReadonlyMap<string, number>) => {
        const total = new Map<string, number>();
        for (const one of all)
          for (const [key, value] of one === undefined ? [] : pick(one))
            total.set(key, (total.get(key) ?? 0) + value);
        return total;
      };
      return all.every((one) => one === undefined)
        ? undefined
        : { taken: sum(({ taken }) => taken), waiting: sum(({ waiting }) => waiting) };
    },
  };
};

const ask = (url: string): Promise<Response | undefined> =>
  fetch(url, { signal: AbortSignal.timeout(ASK_MS) }).catch(() => undefined);

const LINE = /^(millrace_records_in_total|millrace_lag_records)\{(.*)\} (\S+)$/gm;

/** Prometheus text to figures. */
export const figuresOf = (text: string): WorkerFigures => {
  const taken = new Map<string, number>();
  const waiting = new Map<string, number>();
  for (const [, name, labels = '', value] of text.matchAll(LINE)) {
    const label = (wanted: string) => new RegExp(`${wanted}="([^"]*)"`).exec(labels)?.[1] ?? '';
    const [map, key] =
      name === 'millrace_lag_records'
        ? [waiting, /\.(p[0-3])/.exec(label('task'))?.[1] ?? 'all']
        : [taken, label('stage')];
    map.set(key, (map.get(key) ?? 0) + Number(value));
  }
  return { taken, waiting };
};
