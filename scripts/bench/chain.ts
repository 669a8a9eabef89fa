import { DEFAULT_PARTITIONS } from '../../topologies/topic-table.js';
import type { Installation } from '../installation/installation.js';
import { WorkerProcess } from '../installation/worker-process.js';
import { until } from '../installation/until.js';
import { installBench } from './bench-installation.js';
import { FeedbackMeter } from './feedback-meter.js';
import { percentile, round } from './figures.js';
import { BenchProducer } from './requests.js';

export interface ChainResult {
  /** Messages a second, from the first record taken to the last feedback committed and settled. */
  readonly rate: number;
  /** From first record taken to feedback seen: with everything preloaded this is the time in the queue. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuSecondsPerMillion: number;
  readonly messages: number;
  readonly seconds: number;
  readonly missing: number;
  readonly duplicates: number;
  /** By task: the cost of a transaction is shared by so many records. */
  readonly recordsPerTransaction: Readonly<Record<string, number>>;
}

const DEADLINE_MS = 600_000;

/** How the groups are shared out over worker processes, by their number: docs/performance.md, "Processes". */
const LAYOUTS = {
  1: [[]],
  // Intake comes last: from its first record on the others are there.
  2: [
    ['--only', 'send,again,settle,windows'],
    ['--only', 'intake'],
  ],
} as const;

/** Preloaded ingest; ledger, dedupe, claims, settle and windows on. */
export const chain = async (
  messages: number,
  processes: keyof typeof LAYOUTS,
  say: (line: string) => void,
): Promise<ChainResult> => {
  const installation = await installBench();
  const producer = await BenchProducer.open(installation);
  const seen = new Map<string, number>();
  let duplicates = 0;
  let last = 0;
  const meter = await FeedbackMeter.start(
    installation,
    DEFAULT_PARTITIONS,
    ({ messageId, seenAt }) => {
      if (seen.has(messageId)) duplicates += 1;
      seen.set(messageId, seenAt);
      last = seenAt;
    },
    { later: true },
  );
  const workers: WorkerProcess[] = [];
  try {
    say(`preloading ${messages.toString()} messages`);
    await producer.preload('p2', messages, 'app_push');
    say('running');
    for (const groups of LAYOUTS[processes])
      workers.push(await WorkerProcess.start(installation.variables, ['--lanes', 'p2', ...groups]));
    await until(
      `${messages.toString()} feedbacks (${seen.size.toString()} seen)`,
      DEADLINE_MS,
      () => {
        if (meter.received >= messages) meter.tell();
        return seen.size >= messages;
      },
    );
    await until('settle', DEADLINE_MS, () => settled(installation, messages));
    const end = Date.now();
    const cpu = workers.reduce((sum, worker) => sum + worker.cpuSeconds(), 0);
    const firsts = await metricOf(workers, 'millrace_first_record_timestamp_seconds');
    const start = (firsts.get('task="intake.p2"') ?? Number.NaN) * 1_000;
    const recordsPerTransaction = await batchSizes(workers);
    const waits = [...seen.values()].map((seenAt) => seenAt - start);
    say(
      `last feedback after ${round((last - start) / 1_000).toString()} s, settled after ${round((end - start) / 1_000).toString()} s`,
    );
    return {
      rate: round(messages / ((end - start) / 1_000), 0),
      p50Ms: round(percentile(waits, 50), 0),
      p99Ms: round(percentile(waits, 99), 0),
      cpuSecondsPerMillion: round((cpu / messages) * 1_000_000),
      messages,
      seconds: round((end - start) / 1_000, 2),
      missing: messages - seen.size,
      duplicates,
      recordsPerTransaction,
    };
  } finally {
    await Promise.all(workers.map((worker) => worker.stop()));
    await meter.stop();
    await producer.close();
    await installation.remove();
  }
};

/** Of tasks that only one of the workers runs. */
const metricOf = async (
  workers: readonly WorkerProcess[],
  name: string,
): Promise<Map<string, number>> =>
  new Map((await Promise.all(workers.map((worker) => worker.metric(name)))).flatMap((m) => [...m]));

const batchSizes = async (workers: readonly WorkerProcess[]): Promise<Record<string, number>> => {
  const sums = await metricOf(workers, 'millrace_batch_records_sum');
  const counts = await metricOf(workers, 'millrace_batch_records_count');
  return Object.fromEntries(
    [...counts]
      .filter(([, count]) => count > 0)
      .map(([task, count]) => [
        task.replace(/^task="|"$/g, ''),
        round((sums.get(task) ?? 0) / count),
      ]),
  );
};

/** Every message is booked and resolved; leases may hold what they have not spent. */
const settled = async ({ database }: Installation, messages: number): Promise<boolean> => {
  const [row] = await database.query<{ resolved: bigint }>({
    name: 'bench-resolved',
    text: `select count(*) as resolved from reservations where state <> 'pending'`,
  });
  return row?.resolved === BigInt(messages);
};
