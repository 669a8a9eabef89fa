import type { Lane } from '../../schemas/generated/records.js';
import { DEFAULT_PARTITIONS } from '../../topologies/topic-table.js';
import type { Installation } from '../installation/installation.js';
import { WorkerProcess } from '../installation/worker-process.js';
import { until } from '../installation/until.js';
import { installBench } from './bench-installation.js';
import { FeedbackMeter } from './feedback-meter.js';
import { percentile, round } from './figures.js';
import { BenchProducer, benchRequest } from './requests.js';

export interface LatencyResult {
  readonly rate: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly messages: number;
  readonly missing: number;
}

/** Left out at the start: compilation (of the worker and of the broker), first connections, and the backlog of both. */
const WARM_UP_MS = 15_000;
const DRAIN_MS = 60_000;

/**
 * Open loop: each message has an intended time, whatever became of the ones before (no coordinated omission); its
 * latency runs from then until a read_committed reader has its feedback.
 */
export class OpenLoop {
  private readonly intended = new Map<string, number>();
  private readonly latencies: number[] = [];
  private readonly from: number;
  private started = 0;

  constructor(warmUpMs: number) {
    this.from = warmUpMs;
  }

  seen(messageId: string, seenAt: number): void {
    const due = this.intended.get(messageId);
    if (due === undefined) return;
    this.intended.delete(messageId);
    if (due - this.started >= this.from) this.latencies.push(seenAt - due);
  }

  async run(producer: BenchProducer, lane: Lane, rate: number, seconds: number): Promise<void> {
    this.started = Date.now() + 100;
    const total = Math.round(rate * seconds);
    for (let n = 0; n < total;) {
      const now = Date.now();
      const writes = [];
      for (; n < total && this.started + (n / rate) * 1_000 <= now; n++) {
        const due = this.started + (n / rate) * 1_000;
        const request = benchRequest(n, 'app_push', Math.floor(due));
        this.intended.set(request.messageId, due);
        writes.push(producer.write(lane, request));
      }
      await producer.send(lane, writes);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  async drained(meter: FeedbackMeter): Promise<void> {
    await until('the last feedback', DRAIN_MS, () => {
      meter.tell();
      return this.intended.size === 0;
    });
  }

  get result(): Omit<LatencyResult, 'rate'> {
    const { latencies } = this;
    return {
      p50Ms: round(percentile(latencies, 50)),
      p95Ms: round(percentile(latencies, 95)),
      p99Ms: round(percentile(latencies, 99)),
      maxMs: round(percentile(latencies, 100)),
      messages: latencies.length,
      missing: this.intended.size,
    };
  }
}

export const latency = async (rate: number, seconds: number): Promise<LatencyResult> => {
  const installation: Installation = await installBench();
  const producer = await BenchProducer.open(installation);
  const loop = new OpenLoop(WARM_UP_MS);
  const meter = await FeedbackMeter.start(
    installation,
    DEFAULT_PARTITIONS,
    ({ messageId, seenAt }) => {
      loop.seen(messageId, seenAt);
    },
    { later: true },
  );
  let worker: WorkerProcess | null = null;
  try {
    worker = await WorkerProcess.start(installation.variables, ['--lanes', 'p1']);
    await loop.run(producer, 'p1', rate, seconds + WARM_UP_MS / 1_000);
    await loop.drained(meter);
    return { rate, ...loop.result };
  } finally {
    await worker?.stop();
    await meter.stop();
    await producer.close();
    await installation.remove();
  }
};
