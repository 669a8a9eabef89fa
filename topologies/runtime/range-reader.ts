import { randomUUID } from 'node:crypto';
import rdkafka from 'node-rdkafka';
import { PipelineError, asError } from '../../schemas/error.js';
import type { RawRecord, TopicPartition } from './raw-record.js';
import { partitionId } from './raw-record.js';
import type { ClientSettings } from './rdkafka-client.js';
import { ConsumerClient, classify, settled } from './rdkafka-client.js';

/** Where to begin: everything, records written at or after a time (ms since the epoch), or named offsets. */
export type RangeStart =
  'beginning' | { readonly since: number } | { readonly offsets: ReadonlyMap<string, number> };

/**
 * Where to end, resolved once, before the first record is taken:
 * - `stable`: the last stable offset; does not wait for transactions that are open now.
 * - `high`: the high watermark; waits until every transaction below it has ended (rule 6 of exactly-once.md:
 *   just after a commit the stable offset may still lie below the committed records).
 * - a signal: follows the topics until it is aborted, then ends as `high` does.
 * - offsets (exclusive), by partition: waits as `high` does; what is not named is not read.
 */
export type RangeEnd =
  'stable' | 'high' | AbortSignal | { readonly ends: ReadonlyMap<string, number> };

export interface RangeRequest {
  /** Brokers, TLS and SASL, as rdkafkaConnection gives them. */
  readonly settings: ClientSettings;
  readonly topics: readonly string[];
  /** Only these partitions; absent: all. */
  readonly partitions?: readonly TopicPartition[];
  /** Default beginning. */
  readonly from?: RangeStart;
  /** Default stable. */
  readonly to?: RangeEnd;
  /** Default read_committed. */
  readonly isolation?: 'read_committed' | 'read_uncommitted';
  /** Names the reader for the broker's access rules; default: one that operators may use. */
  readonly groupId?: string;
  /** For the whole range (with a signal: from its abort on; with named ends: without a record). Default 60,000. */
  readonly deadlineMs?: number;
  /** Records read so far and an upper bound of all (offsets include transaction markers). */
  readonly onProgress?: (read: number, atMost: number) => void;
}

const CALL_DEADLINE_MS = 10_000;
const BATCH = 2_000;
/** Each call holds a libuv thread while it waits. */
const CALLS_AT_ONCE = 8;

/** A leader's election or a broker's restart is over by then. */
const FAILING_AT_MOST_MS = 30_000;
const RETRY_MS = 100;

interface Span extends TopicPartition {
  /** Next offset to read, first. */
  readonly start: number;
  /** Exclusive. */
  end: number;
}

const unavailable = (what: string, thrown: unknown): PipelineError =>
  thrown instanceof PipelineError
    ? thrown
    : new PipelineError('kafka_unavailable', `${what}: ${asError(thrown).message}`, thrown);

const inParallel = async <T, R>(
  items: readonly T[],
  run: (item: T) => Promise<R>,
): Promise<R[]> => {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += CALLS_AT_ONCE)
    results.push(...(await Promise.all(items.slice(at, at + CALLS_AT_ONCE).map(run))));
  return results;
};

/** Partitions of the topics. @throws PipelineError `topic_missing` naming those that are not there. */
const partitionsOf = async (
  client: ConsumerClient,
  topics: readonly string[],
): Promise<TopicPartition[]> => {
  const metadata = await settled<{
    topics: { name: string; partitions: { id: number }[] }[];
  }>('metadata', CALL_DEADLINE_MS, (done) => {
    client.native.getMetadata({ timeout: CALL_DEADLINE_MS }, done);
  });
  const known = new Map(metadata.topics.map((topic) => [topic.name, topic.partitions]));
  const missing = topics.filter((topic) => (known.get(topic)?.length ?? 0) === 0);
  if (missing.length > 0)
    throw new PipelineError(
      'topic_missing',
      `no topic ${missing.join(', ')}: run millrace topics apply, or check TOPIC_PREFIX`,
    );
  return topics.flatMap((topic) =>
    (known.get(topic) ?? []).map(({ id }) => ({ topic, partition: id })),
  );
};

/** First offset at or after a time per partition; the end where there is none. */
const offsetsSince = async (
  client: ConsumerClient,
  partitions: readonly TopicPartition[],
  since: number,
): Promise<ReadonlyMap<string, number>> => {
  const found = await settled<readonly (TopicPartition & { offset: number })[]>(
    'offsets for times',
    CALL_DEADLINE_MS,
    (done) => {
      client.native.offsetsForTimes(
        partitions.map((partition) => ({ ...partition, offset: Math.max(0, Math.floor(since)) })),
        CALL_DEADLINE_MS,
        done,
      );
    },
  );
  return new Map(
    found.map((partition) => [
      partitionId(partition),
      // -1: nothing so late.
      partition.offset < 0 ? Number.POSITIVE_INFINITY : partition.offset,
    ]),
  );
};

/**
 * Records of whole topics, in batches, each partition's in order; ends as `to` says. Reads by assignment: joins no
 * group, commits nothing, moves nobody's offset. Aborted records are never seen with read_committed.
 * @throws PipelineError `topic_missing`; `kafka_unavailable` where the deadline passes first.
 */
export async function* readRange(request: RangeRequest): AsyncGenerator<readonly RawRecord[]> {
  const { settings, topics, from = 'beginning', to = 'stable', deadlineMs = 60_000 } = request;
  const isolation = request.isolation ?? 'read_committed';
  const base = { ...settings, 'group.id': request.groupId ?? `millrace-read-${randomUUID()}` };
  const reader = new ConsumerClient({ ...base, 'isolation.level': isolation });
  // What `high` means to a read_committed client is the last stable offset; only this one sees the true end.
  const uncommitted =
    to === 'stable'
      ? reader
      : new ConsumerClient({ ...base, 'isolation.level': 'read_uncommitted' });
  try {
    await connected(reader, uncommitted);
    const partitions = request.partitions ?? (await partitionsOf(reader, topics));
    const spans = new Map<string, Span>();
    const since =
      from === 'beginning'
        ? new Map<string, number>()
        : 'since' in from
          ? await offsetsSince(reader, partitions, from.since)
          : from.offsets;
    for (const span of await inParallel(partitions, async (partition) => {
      const { low, high } = await patiently(() =>
        uncommitted.watermarks(partition, CALL_DEADLINE_MS),
      );
      const start = Math.min(high, Math.max(low, since.get(partitionId(partition)) ?? low));
      const end = hasEnds(to) ? Math.min(high, to.ends.get(partitionId(partition)) ?? start) : high;
      return { ...partition, start, end };
    }))
      spans.set(partitionId(span), span);
    yield* drain({ reader, uncommitted, spans, to, deadlineMs, onProgress: request.onProgress });
  } catch (thrown) {
    throw unavailable('reading from Kafka', thrown);
  } finally {
    if (reader.native.isConnected()) reader.native.unassign();
    await reader.disconnect(CALL_DEADLINE_MS);
    if (uncommitted !== reader) await uncommitted.disconnect(CALL_DEADLINE_MS);
  }
}

const hasEnds = (to: RangeEnd): to is Extract<RangeEnd, { readonly ends: unknown }> =>
  typeof to === 'object' && 'ends' in to;

const connected = async (...clients: readonly ConsumerClient[]): Promise<void> => {
  await Promise.all([...new Set(clients)].map((client) => client.connect(CALL_DEADLINE_MS)));
};

async function* drain(work: {
  readonly reader: ConsumerClient;
  readonly uncommitted: ConsumerClient;
  readonly spans: Map<string, Span>;
  readonly to: RangeEnd;
  readonly deadlineMs: number;
  readonly onProgress: RangeRequest['onProgress'] | undefined;
}): AsyncGenerator<readonly RawRecord[]> {
  const { reader, uncommitted, spans, to, onProgress } = work;
  const signal = typeof to === 'string' || hasEnds(to) ? undefined : to;
  /** Where each partition's reading stands, markers included: the client's position never counts trailing ones. */
  const reached = new Map([...spans].map(([id, span]) => [id, span.start]));
  reader.native.on('partition.eof', (eof) => {
    advance(reached, partitionId(eof), eof.offset);
  });
  const wanted = signal ? [...spans.values()] : [...spans.values()].filter((s) => s.start < s.end);
  const assign = () => {
    reader.native.assign(
      wanted.map(({ topic, partition, start }) => ({
        topic,
        partition,
        offset: reached.get(partitionId({ topic, partition })) ?? start,
      })),
    );
  };
  assign();

  const atMost = wanted.reduce((sum, span) => sum + span.end - span.start, 0);
  let read = 0;
  let ending = signal === undefined;
  let failingSince: number | undefined;
  let deadline = Date.now() + work.deadlineMs;
  for (;;) {
    if (!ending && signal?.aborted === true) {
      ending = true;
      deadline = Date.now() + work.deadlineMs;
      await inParallel(wanted, async (span) => {
        span.end = (await patiently(() => uncommitted.watermarks(span, CALL_DEADLINE_MS))).high;
      });
    }
    if (ending) {
      const open = wanted.filter((span) => (reached.get(partitionId(span)) ?? 0) < span.end);
      if (open.length === 0) return;
      if (Date.now() > deadline) throw tooLate(open, reached, work.deadlineMs);
    }
    let taken: readonly RawRecord[];
    try {
      taken = await reader.take(BATCH, 100);
      failingSince = undefined;
    } catch (thrown) {
      failingSince ??= Date.now();
      if (!passes(thrown) || Date.now() - failingSince > FAILING_AT_MOST_MS) throw thrown;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      // An end-of-partition event that came together with the error is lost, and never comes twice for one position.
      assign();
      continue;
    }
    if (taken.length === 0) continue;
    const batch = taken.filter((record) => {
      const span = spans.get(partitionId(record.at));
      advance(reached, partitionId(record.at), record.at.offset + 1);
      return !ending || (span !== undefined && record.at.offset < span.end);
    });
    read += batch.length;
    onProgress?.(read, Math.max(read, atMost));
    if (batch.length > 0) yield batch;
    // Whoever names the ends may take hours over what lies between: only standing still counts.
    if (hasEnds(to)) deadline = Date.now() + work.deadlineMs;
  }
}

/** Errors that waiting does not mend: we may not read this, or the topic is gone. All others pass (no leader, a lost connection). */
const LASTING: ReadonlySet<unknown> = new Set([
  rdkafka.CODES.ERRORS.ERR_TOPIC_AUTHORIZATION_FAILED,
  rdkafka.CODES.ERRORS.ERR_GROUP_AUTHORIZATION_FAILED,
  rdkafka.CODES.ERRORS.ERR_UNKNOWN_TOPIC_OR_PART,
  rdkafka.CODES.ERRORS.ERR__UNKNOWN_TOPIC,
  rdkafka.CODES.ERRORS.ERR__AUTHENTICATION,
]);
const passes = (thrown: unknown): boolean =>
  classify(thrown) !== 'fatal' && !LASTING.has((thrown as { readonly code?: unknown }).code);

/**
 * Asks again while the answer is an error that passes: the client may have heard of a new topic and not yet of its
 * leaders (seen in two of five demos on a loaded machine, a second after the topics were made).
 */
const patiently = async <T>(ask: () => Promise<T>): Promise<T> => {
  const deadline = Date.now() + FAILING_AT_MOST_MS;
  for (;;) {
    try {
      return await ask();
    } catch (thrown) {
      if (!passes(thrown) || Date.now() > deadline) throw thrown;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
};

const advance = (reached: Map<string, number>, id: string, offset: number): void => {
  reached.set(id, Math.max(reached.get(id) ?? 0, offset));
};

const tooLate = (
  open: readonly Span[],
  reached: ReadonlyMap<string, number>,
  deadlineMs: number,
): PipelineError =>
  new PipelineError(
    'kafka_unavailable',
    `not read to the end in ${deadlineMs} ms: ${open
      .slice(0, 3)
      .map((s) => `${partitionId(s)} at ${reached.get(partitionId(s)) ?? s.start} of ${s.end}`)
      .join(', ')}; an open transaction may hold the stable offset back`,
  );
