import { postgresLedger } from '../../sinks/postgres/ledger.js';
import { DEFAULT_PARTITIONS } from '../../topologies/topic-table.js';
import type { Installation } from '../installation/installation.js';
import { until } from '../installation/until.js';
import { WorkerProcess } from '../installation/worker-process.js';
import type { RecoveryReport } from '../replay/run.js';
import { commandLine } from '../testing/command-line.js';
import { installBench } from './bench-installation.js';
import { FeedbackMeter } from './feedback-meter.js';
import { round } from './figures.js';
import { BenchProducer } from './requests.js';

export interface ReplayResult {
  /** Records a second that the command read and put back through again.*. */
  readonly rate: number;
  readonly records: number;
  readonly written: number;
  readonly seconds: number;
  /** Records a second that the re-entry task looked at, waiting for the message index included. */
  readonly lookedAtRate: number;
  readonly alreadyDone: number | null;
  readonly letIn: number;
  /** Reservations that were not there before. */
  readonly newDebits: number;
  /** Attempts of which feedback was written after the replay began. */
  readonly newSubmissions: number;
}

const DEADLINE_MS = 600_000;

/** Messages that were delivered and settled, replayed with --apply beside the running worker. */
export const replayBench = async (
  messages: number,
  say: (line: string) => void,
): Promise<ReplayResult> => {
  const installation = await installBench();
  const producer = await BenchProducer.open(installation);
  let feedback = 0;
  const meter = await FeedbackMeter.start(installation, DEFAULT_PARTITIONS, () => {
    feedback += 1;
  });
  let worker: WorkerProcess | null = null;
  try {
    say(`preloading ${messages.toString()} messages`);
    const written = await producer.preload('p2', messages, 'app_push');
    worker = await WorkerProcess.start(installation.variables, ['--lanes', 'p2']);
    say('delivering them');
    await until('all to be delivered', DEADLINE_MS, () => feedback >= messages);
    await until('settle', DEADLINE_MS, async () => (await reserved(installation)).pending === 0n);
    const before = { feedback, ...(await reserved(installation)) };
    say(`replaying ${written.toString()} records`);
    const started = Date.now();
    const said = await commandLine(installation.variables)(
      ...['replay', '--from', 'ingest.p2', '--since', '1d', '--to', 'dedupe'],
      ...['--reason', 'bench', '--apply', '--json'],
    );
    if (said.code !== 0) throw new Error(`replay ended with ${said.code}: ${said.err}`);
    const waited = (Date.now() - started) / 1_000;
    const { figures, outcome, seconds } = said.json() as RecoveryReport;
    await until('settle', DEADLINE_MS, async () => (await reserved(installation)).pending === 0n);
    const after = { feedback, ...(await reserved(installation)) };
    const { read = 0, written: put = 0 } = figures;
    return {
      rate: round(read / seconds, 0),
      records: read,
      written: put,
      seconds: round(seconds, 2),
      lookedAtRate: round(put / waited, 0),
      alreadyDone: outcome?.alreadyDone ?? null,
      letIn: outcome?.letIn ?? 0,
      newDebits: Number(after.posted + after.pending - before.posted),
      newSubmissions: after.feedback - before.feedback,
    };
  } finally {
    await worker?.stop();
    await meter.stop();
    await producer.close();
    await installation.remove();
  }
};

/** PV units: the bench's messages cost one each, so that these are messages. */
const reserved = async ({
  database,
}: Installation): Promise<{ readonly pending: bigint; readonly posted: bigint }> => {
  const { pv } = await postgresLedger(database).totals();
  return { pending: pv.pending, posted: pv.posted };
};
