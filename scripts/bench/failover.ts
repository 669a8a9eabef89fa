import { setTimeout as sleep } from 'node:timers/promises';
import type { Lane } from '../../schemas/generated/records.js';
import { DEFAULT_PARTITIONS } from '../../topologies/topic-table.js';
import type { Installation } from '../installation/installation.js';
import { until } from '../installation/until.js';
import { WorkerProcess } from '../installation/worker-process.js';
import { installBench } from './bench-installation.js';
import { FeedbackMeter, type Seen } from './feedback-meter.js';
import { median, round } from './figures.js';
import { BenchProducer, benchRequest } from './requests.js';

export interface FailoverResult {
  /** From a worker's SIGKILL until each partition that it had has delivered a message written after it. */
  readonly medianSeconds: number;
  readonly maxSeconds: number;
  readonly seconds: readonly number[];
  readonly messages: number;
  /** Of those: without feedback at the end. Must be 0. */
  readonly missing: number;
}

const LANE: Lane = 'p1';
const SLOTS = [0, 1] as const;
const TICK_MS = 20;
const DEADLINE_MS = 60_000;

interface Watch {
  readonly since: number;
  /** Partitions that have not. */
  readonly waiting: Set<number>;
  /** When the last of the others was seen to. */
  lastAt: number;
}

/** Messages to all partitions in turn, and when each of them has had its feedback. */
class Traffic {
  private readonly producer: BenchProducer;
  private readonly rate: number;
  private readonly open = new Map<string, { readonly partition: number; readonly at: number }>();
  private watched: Watch | null = null;
  private readonly ending = new AbortController();
  private running: Promise<void> = Promise.resolve();
  written = 0;

  constructor(producer: BenchProducer, rate: number) {
    this.producer = producer;
    this.rate = rate;
  }

  get missing(): number {
    return this.open.size;
  }

  seen({ messageId, seenAt }: Seen): void {
    const message = this.open.get(messageId);
    if (message === undefined) return;
    this.open.delete(messageId);
    const { watched } = this;
    if (watched === null || message.at <= watched.since) return;
    if (watched.waiting.delete(message.partition)) watched.lastAt = seenAt;
  }

  /** When each of these delivers something that was written from now on. */
  watch(partitions: readonly number[]): Watch {
    this.watched = { since: Date.now(), waiting: new Set(partitions), lastAt: 0 };
    return this.watched;
  }

  start(): void {
    this.running = this.run();
  }

  async stop(): Promise<void> {
    this.ending.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    const started = Date.now();
    while (!this.ending.signal.aborted) {
      const writes = [];
      for (; this.written < ((Date.now() - started) / 1_000) * this.rate; this.written++) {
        const at = Date.now();
        const request = benchRequest(this.written, 'app_push', at);
        const partition = this.written % DEFAULT_PARTITIONS;
        this.open.set(request.messageId, { partition, at });
        writes.push({ ...this.producer.write(LANE, request), partition });
      }
      await this.producer.send(LANE, writes);
      await sleep(TICK_MS);
    }
  }
}

/** Two workers, one of which is killed in turn and comes back once the other has delivered its share. */
export const failover = async (
  options: { readonly rounds: number; readonly rate: number },
  say: (line: string) => void,
): Promise<FailoverResult> => {
  const installation = await installBench();
  const producer = await BenchProducer.open(installation);
  const traffic = new Traffic(producer, options.rate);
  const meter = await FeedbackMeter.start(installation, DEFAULT_PARTITIONS, (seen) => {
    traffic.seen(seen);
  });
  const workers = new Map<number, WorkerProcess>();
  const start = async (slot: number): Promise<void> => {
    const args = ['--lanes', LANE, '--slot', slot.toString()];
    workers.set(slot, await WorkerProcess.start(installation.variables, args));
  };
  try {
    for (const slot of SLOTS) await start(slot);
    traffic.start();
    const seconds: number[] = [];
    for (let n = 0; n < options.rounds; n++) {
      const slot = n % SLOTS.length;
      const worker = workers.get(slot);
      if (worker === undefined) throw new Error(`nobody in slot ${slot.toString()}`);
      const share = await shareOf(worker, installation);
      const watch = traffic.watch(share);
      await worker.kill();
      await until('its share to be delivered', DEADLINE_MS, () => watch.waiting.size === 0);
      seconds.push(round((watch.lastAt - watch.since) / 1_000, 2));
      say(
        `slot ${slot.toString()}, ${share.length.toString()} partitions: ${String(seconds[n])} s`,
      );
      await start(slot);
    }
    await traffic.stop();
    await until('the last feedback', DEADLINE_MS, () => traffic.missing === 0);
    return {
      medianSeconds: median(seconds),
      maxSeconds: Math.max(...seconds),
      seconds,
      messages: traffic.written,
      missing: traffic.missing,
    };
  } finally {
    await traffic.stop();
    await Promise.all([...workers.values()].map((worker) => worker.stop()));
    await meter.stop();
    await producer.close();
    await installation.remove();
  }
};

/** Its ingest partitions, once it has some. */
const shareOf = async (
  worker: WorkerProcess,
  { names }: Installation,
): Promise<readonly number[]> => {
  let share: readonly number[] = [];
  await until('a share of the partitions', DEADLINE_MS, async () => {
    share = (await worker.owned('intake.'))
      .filter(({ topic }) => topic === names.ingest(LANE))
      .map(({ partition }) => partition);
    return share.length > 0;
  });
  return share;
};
