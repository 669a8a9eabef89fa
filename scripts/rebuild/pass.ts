import cliProgress from 'cli-progress';
import type { Codecs } from '../../schemas/topic-codecs.js';
import { partitionId } from '../../topologies/runtime/raw-record.js';
import type { ClientSettings } from '../../topologies/runtime/rdkafka-client.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import type { Cli } from '../cli/cli.js';
import { pacer } from '../produce/pace.js';
import type { Decoded } from '../read/decoded.js';
import { readDecoded } from '../read/decoded.js';
import type { Span } from './spans.js';
import { sizeOf } from './spans.js';

export interface PassOptions {
  readonly cli: Cli;
  readonly settings: ClientSettings;
  readonly codecs: Codecs;
  readonly topics: readonly TopicSpec[];
  /** What is left to read. */
  readonly spans: readonly Span[];
  /** Records a second at most; absent: as fast as it goes. */
  readonly rate?: number;
  /** Records handed over at once, at most; default 500. */
  readonly atOnce?: number;
  /** Ends the pass after the batch under way. */
  readonly signal: AbortSignal;
  readonly handle: (batch: readonly Decoded[]) => Promise<void>;
  /** Told every few seconds and at the end: what is left. */
  readonly onLeft: (left: readonly Span[]) => Promise<void>;
}

const SAVE_EVERY_MS = 2_000;
/** Also how long a broker may be away. */
const STALL_MS = 60_000;

/**
 * Hands over all records of the spans, batch by batch. A batch is counted as read once it is handled, so that a pass
 * that goes on where another ended repeats at most what was under way.
 * @returns whether it came to the end
 */
export const pass = async (options: PassOptions): Promise<boolean> => {
  const { cli, settings, codecs, topics, spans, rate, atOnce = PART, signal } = options;
  const wanted = spans.filter(({ from, to }) => from < to);
  const next = new Map(wanted.map((span) => [partitionId(span), span.from]));
  const left = () =>
    wanted.map((span) => ({ ...span, from: next.get(partitionId(span)) ?? span.from }));
  if (wanted.length === 0) return true;
  const bar = cli.watched
    ? new cliProgress.SingleBar({
        format: 'records {bar} {value}/{total}  {eta_formatted} left',
        clearOnComplete: true,
        stream: process.stderr,
      })
    : undefined;
  const total = sizeOf(wanted);
  bar?.start(total, 0);
  const due = pacer(Date.now());
  let read = 0;
  let saved = Date.now();
  try {
    for await (const batch of readDecoded({
      settings,
      codecs,
      topics: topics.filter(({ name }) => wanted.some(({ topic }) => topic === name)),
      partitions: wanted.map(({ topic, partition }) => ({ topic, partition })),
      from: { offsets: next },
      to: { ends: new Map(wanted.map((span) => [partitionId(span), span.to])) },
      deadlineMs: STALL_MS,
    })) {
      for (const part of parts(batch, rate, atOnce)) {
        if (signal.aborted) return false;
        await options.handle(part);
        for (const { at } of part) next.set(partitionId(at), at.offset + 1);
        read += part.length;
        // Offsets count transaction markers too, so that this is what is left at most.
        bar?.update(total - sizeOf(left()));
        if (Date.now() - saved > SAVE_EVERY_MS) {
          await options.onLeft(left());
          saved = Date.now();
        }
        if (rate !== undefined) await due((read / rate) * 1_000);
      }
    }
    if (signal.aborted) return false;
    for (const span of wanted) next.set(partitionId(span), span.to);
    return true;
  } finally {
    bar?.stop();
    await options.onLeft(left());
  }
};

const PART = 500;

/** A slow pass takes a second's worth at a time, so that it is even, and shows that it lives. */
const parts = function* (
  batch: readonly Decoded[],
  rate: number | undefined,
  atOnce: number,
): Generator<readonly Decoded[]> {
  const size = rate === undefined ? atOnce : Math.max(1, Math.min(atOnce, Math.floor(rate)));
  for (let at = 0; at < batch.length; at += size) yield batch.slice(at, at + size);
};
