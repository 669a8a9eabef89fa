import { DEFAULT_PARTITIONS } from '../../topologies/topic-table.js';
import { type Priority, WorkerProcess } from '../installation/worker-process.js';
import { installBench } from './bench-installation.js';
import { FeedbackMeter } from './feedback-meter.js';
import { OpenLoop } from './latency.js';
import { BenchProducer } from './requests.js';

export interface LanesResult {
  readonly idleP99Ms: number;
  readonly floodP99Ms: number;
  /** P3 records not yet taken when the last P0 feedback was seen: proof that the flood lasted. */
  readonly p3LagEnd: number;
  readonly idleP50Ms: number;
  readonly floodP50Ms: number;
  readonly p0Messages: number;
}

export interface LanesOptions {
  /** P3 messages waiting before P0 begins, for a provider that fails throughout. */
  readonly flood: number;
  readonly p0Rate: number;
  readonly p0Messages: number;
}

const WARM_UP_MS = 15_000;

/** P0 alone, then P0 while P3 is flooded and its provider fails: lanes must not feel one another. */
export const lanes = async (
  options: LanesOptions,
  say: (line: string) => void,
): Promise<LanesResult> => {
  const installation = await installBench();
  const producer = await BenchProducer.open(installation);
  let loop = new OpenLoop(WARM_UP_MS);
  const meter = await FeedbackMeter.start(
    installation,
    DEFAULT_PARTITIONS,
    ({ messageId, seenAt }) => {
      loop.seen(messageId, seenAt);
    },
    { later: true },
  );
  const workers: WorkerProcess[] = [];
  const start = async (priority: Priority, ...args: string[]): Promise<WorkerProcess> => {
    const worker = await WorkerProcess.start(installation.variables, args, priority);
    workers.push(worker);
    return worker;
  };
  const seconds = options.p0Messages / options.p0Rate + WARM_UP_MS / 1_000;
  try {
    // Urgent lanes in a process of their own, as docs/architecture.md says; the rest yields the processors to it.
    await start('normal', '--only', 'intake,send', '--lanes', 'p0,p1');
    const bulk = await start('low', '--only', 'intake,send', '--lanes', 'p2,p3');
    await start('low', '--only', 'settle,windows');

    say('P0 alone');
    await loop.run(producer, 'p0', options.p0Rate, seconds);
    await loop.drained(meter);
    const idle = loop.result;

    say(`P0 beside ${options.flood.toString()} P3 messages whose provider fails`);
    loop = new OpenLoop(WARM_UP_MS);
    await producer.preload('p3', options.flood, 'sms');
    await loop.run(producer, 'p0', options.p0Rate, seconds);
    await loop.drained(meter);
    const lag = await bulk.metric('millrace_lag_records');
    const p3LagEnd = [...lag].reduce(
      (sum, [labels, value]) => (labels.includes('.p3') ? sum + value : sum),
      0,
    );
    const flood = loop.result;
    return {
      idleP99Ms: idle.p99Ms,
      floodP99Ms: flood.p99Ms,
      p3LagEnd,
      idleP50Ms: idle.p50Ms,
      floodP50Ms: flood.p50Ms,
      p0Messages: flood.messages,
    };
  } finally {
    await Promise.all(workers.map((worker) => worker.stop()));
    await meter.stop();
    await producer.close();
    await installation.remove();
  }
};
