import rdkafka from 'node-rdkafka';
import type { KafkaConsumer, LibrdKafkaError, Message, Producer } from 'node-rdkafka';
import type { HeaderList, RawRecord, TopicPartition, Write } from './raw-record.js';

/** Settings every client shares: brokers, TLS, SASL; librdkafka's own names. */
export type ClientSettings = Readonly<Record<string, string | number | boolean>>;

export interface PartitionOffset extends TopicPartition {
  readonly offset: number;
}

/** librdkafka's verdict on a client's failure (rule 9). */
export type ClientFailure = 'fatal' | 'abortable' | 'retriable' | 'other';

export const classify = (error: unknown): ClientFailure => {
  const flags = error as Partial<LibrdKafkaError>;
  if (flags.isFatal === true) return 'fatal';
  if (flags.isTxnRequiresAbort === true) return 'abortable';
  return flags.isRetriable === true ? 'retriable' : 'other';
};

const { ERRORS } = rdkafka.CODES;
export const isTimeOut = (error: unknown): boolean => {
  const { code } = error as Partial<LibrdKafkaError>;
  return code === ERRORS.ERR__TIMED_OUT || code === ERRORS.ERR__MSG_TIMED_OUT;
};
/** By the client before it is sent, or by the broker: a record, or a batch, is larger than its topic takes. */
export const isTooLarge = (error: unknown): boolean =>
  (error as Partial<LibrdKafkaError>).code === ERRORS.ERR_MSG_SIZE_TOO_LARGE;
/** The group has forgotten this member. */
export const isUnknownMember = (error: unknown): boolean =>
  (error as Partial<LibrdKafkaError>).code === ERRORS.ERR_UNKNOWN_MEMBER_ID;
export const isAssign = (error: unknown): boolean =>
  (error as Partial<LibrdKafkaError> | undefined)?.code === ERRORS.ERR__ASSIGN_PARTITIONS;
export const isRevoke = (error: unknown): boolean =>
  (error as Partial<LibrdKafkaError> | undefined)?.code === ERRORS.ERR__REVOKE_PARTITIONS;
const isQueueFull = (error: unknown): boolean =>
  (error as Partial<LibrdKafkaError>).code === ERRORS.ERR__QUEUE_FULL;

type Callback<T> = (error: LibrdKafkaError | null | undefined, result: T) => void;

/** librdkafka's errors have its codes and flags, and are Errors although their type does not say so. */
const asClientError = (error: LibrdKafkaError): Error =>
  error instanceof Error ? error : Object.assign(new Error(error.message), error);

/** A callback API as a promise, never pending for longer than deadlineMs: a native call may never answer. */
export const settled = <T>(
  what: string,
  deadlineMs: number,
  start: (callback: Callback<T>) => void,
): Promise<T> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(
        Object.assign(new Error(`${what}: no answer in ${deadlineMs} ms`), {
          code: ERRORS.ERR__TIMED_OUT,
        }),
      );
    }, deadlineMs);
    start((error, result) => {
      clearTimeout(timer);
      if (error) reject(asClientError(error));
      else resolve(result);
    });
  });

const NO_HEADERS: RawRecord['headers'] = Object.freeze({});

const headersOf = (
  headers: NonNullable<Message['headers']>,
): Pick<RawRecord, 'headers' | 'allHeaders'> => {
  const all: HeaderList = headers.flatMap((header) =>
    Object.entries(header).map(([name, value]) => [name, Buffer.from(value)] as const),
  );
  const byName = Object.fromEntries(all);
  return Object.keys(byName).length === all.length
    ? { headers: byName }
    : { headers: byName, allHeaders: all };
};

/** node-rdkafka makes the topic's name anew for each record; most come after one of the same topic. */
let lastTopic = '';

const rawRecord = (message: Message): RawRecord => {
  const { key, headers } = message;
  if (message.topic !== lastTopic) lastTopic = message.topic;
  const at = { topic: lastTopic, partition: message.partition, offset: message.offset };
  const bytes = typeof key === 'string' ? Buffer.from(key) : (key ?? null);
  const { value, timestamp = 0 } = message;
  // A spread in each record's way is measurable.
  return headers === undefined || headers.length === 0
    ? { at, key: bytes, value, timestamp, headers: NO_HEADERS }
    : { at, key: bytes, value, timestamp, ...headersOf(headers) };
};

/** A consumer with promises and raw records. */
export class ConsumerClient {
  readonly native: KafkaConsumer;

  constructor(
    settings: ClientSettings,
    onRebalance?: (error: LibrdKafkaError | undefined, partitions: TopicPartition[]) => void,
  ) {
    const config = {
      'enable.auto.commit': false,
      'enable.auto.offset.store': false,
      // The default back-off of 1 s after a full local queue would starve a fast reader.
      'fetch.queue.backoff.ms': 5,
      'fetch.wait.max.ms': 500,
      'fetch.error.backoff.ms': 50,
      'reconnect.backoff.ms': 50,
      'reconnect.backoff.max.ms': 2_000,
      // One fetch a batch: it answers with all that is there. With more the client asks again at each append of ours
      // while a transaction is under way, and these requests are what the broker is busy with.
      'queued.min.messages': 1,
      'queued.max.messages.kbytes': 65_536,
      'enable.partition.eof': true,
      'allow.auto.create.topics': false,
      ...settings,
      ...(onRebalance && { rebalance_cb: onRebalance }),
    };
    this.native = new rdkafka.KafkaConsumer(config, {
      'auto.offset.reset': 'earliest',
    });
    // Connection losses are retried by the client; that Kafka is away shows in readiness by kafka-watch.ts.
    this.native.on('event.error', () => undefined);
  }

  async connect(deadlineMs: number): Promise<void> {
    await settled('connect', deadlineMs, (done) => {
      this.native.connect({ timeout: deadlineMs }, done);
    });
  }

  /**
   * At most max records: waits waitMs for the first, takes the others only if they are there already.
   * (consume(n) applies its time-out per message; rule 13.)
   */
  async take(max: number, waitMs: number): Promise<RawRecord[]> {
    const first = await this.consume(1, waitMs);
    if (first.length === 0 || max === 1) return first;
    const rest = await this.consume(max - 1, 0);
    return first.concat(rest);
  }

  private consume(max: number, timeoutMs: number): Promise<RawRecord[]> {
    this.native.setDefaultConsumeTimeout(timeoutMs);
    return new Promise((resolve, reject) => {
      this.native.consume(max, (error: LibrdKafkaError | null | undefined, messages: Message[]) => {
        if (error) reject(asClientError(error));
        else resolve(messages.map(rawRecord));
      });
    });
  }

  /** Stable committed offsets (the client reads committed); null where there is none. */
  async committed(
    partitions: readonly TopicPartition[],
    deadlineMs: number,
  ): Promise<(TopicPartition & { offset: number | null })[]> {
    const found = await settled<(TopicPartition & { readonly offset?: number })[]>(
      'committed offsets',
      deadlineMs + 1_000,
      (done) => {
        this.native.committed([...partitions], deadlineMs, done as Callback<unknown>);
      },
    );
    return found.map(({ topic, partition, offset }) => ({
      topic,
      partition,
      offset: offset === undefined || offset < 0 ? null : offset,
    }));
  }

  /**
   * Low and high watermark as this client's isolation sees them: read_committed answers the last stable offset.
   * librdkafka looks the leader up in what it has cached. Where that says there is none it answers "Unknown partition"
   * without asking anybody, and nothing asks for it while no partition of the topic is assigned: for five minutes
   * (topic.metadata.refresh.interval.ms) a leader's death was longer than it was. So it is told to ask, and asked again.
   */
  async watermarks(
    partition: TopicPartition,
    deadlineMs: number,
  ): Promise<{ low: number; high: number }> {
    try {
      return await this.askWatermarks(partition, deadlineMs);
    } catch {
      await this.refreshMetadata(partition.topic, deadlineMs);
      return this.askWatermarks(partition, deadlineMs);
    }
  }

  private async askWatermarks(
    { topic, partition }: TopicPartition,
    deadlineMs: number,
  ): Promise<{ low: number; high: number }> {
    const { lowOffset, highOffset } = await settled<{ lowOffset: number; highOffset: number }>(
      'watermarks',
      deadlineMs + 1_000,
      (done) => {
        this.native.queryWatermarkOffsets(topic, partition, deadlineMs, done);
      },
    );
    return { low: lowOffset, high: highOffset };
  }

  private async refreshMetadata(topic: string, deadlineMs: number): Promise<void> {
    await settled('metadata', deadlineMs + 1_000, (done) => {
      this.native.getMetadata({ topic, timeout: deadlineMs }, done);
    });
  }

  async seek(to: PartitionOffset, deadlineMs: number): Promise<void> {
    await settled<unknown>('seek', deadlineMs + 1_000, (done) => {
      this.native.seek(to, deadlineMs, (error) => {
        done(error, undefined);
      });
    });
  }

  async disconnect(deadlineMs: number): Promise<void> {
    if (!this.native.isConnected()) return;
    await settled<unknown>('disconnect', deadlineMs, (done) => {
      this.native.disconnect(done);
    }).catch(() => undefined);
  }
}

/**
 * Flushes, and destroys the client. node-rdkafka polls on a timer without its lock, also while another thread destroys
 * what is polled: a process then ends by SIGABRT ("pure virtual method called") or SIGSEGV. So the timer stops first;
 * flushing serves delivery reports by itself.
 */
export const destroyProducer = (
  native: Producer,
  deadlineMs: number,
  done: Callback<unknown>,
): void => {
  native.setPollInterval(0);
  native.disconnect(deadlineMs, done);
};

type WrittenHeader = Readonly<Record<string, string>>;

/**
 * By value: what many records carry is made once. node-rdkafka writes a value as text, and would ask each Buffer for
 * its text from C++, which costs as much as the record.
 */
const written = new WeakMap<Buffer, WrittenHeader>();

const headerToWrite = (name: string, value: Buffer): WrittenHeader => {
  const known = written.get(value);
  if (known !== undefined && name in known) return known;
  const header = { [name]: value.toString() };
  written.set(value, header);
  return header;
};

const headersToWrite = ({ headers, moreHeaders = [] }: Write): WrittenHeader[] | undefined => {
  if (headers === undefined && moreHeaders.length === 0) return undefined;
  const all: WrittenHeader[] = [];
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined) all.push(headerToWrite(name, value));
  }
  for (const [name, value] of moreHeaders) all.push(headerToWrite(name, value));
  return all;
};

/** The largest topic's limit (internal.*: 2 MiB) and a record's overhead; each topic's own is kept by TopicLimits. */
const MAX_RECORD_BYTES = 2 * 1_048_576 + 65_536;

/** A transactional (or, without transactional.id, plain idempotent) producer with promises. */
export class ProducerClient {
  readonly native: Producer;
  /** Native calls without an answer yet. */
  private readonly open = new Set<Promise<void>>();

  constructor(settings: ClientSettings) {
    const config = {
      'enable.idempotence': true,
      acks: 'all',
      // First sends after a commit meet CONCURRENT_TRANSACTIONS; the default of 100 ms would be the latency.
      'retry.backoff.ms': 5,
      'linger.ms': 2,
      'reconnect.backoff.ms': 50,
      'reconnect.backoff.max.ms': 2_000,
      'queue.buffering.max.messages': 500_000,
      'queue.buffering.max.kbytes': 524_288,
      'message.max.bytes': MAX_RECORD_BYTES,
      'compression.codec': 'lz4',
      dr_cb: false,
      ...settings,
    };
    // Topic settings go second: node-rdkafka drops them silently from the first (seen on the broker).
    this.native = new rdkafka.Producer(config as ConstructorParameters<typeof Producer>[0], {
      // Every language puts one key on one partition only with Java's hash.
      partitioner: 'murmur2_random',
    });
    this.native.on('event.error', () => undefined);
  }

  async connect(deadlineMs: number): Promise<void> {
    await settled('connect', deadlineMs, (done) => {
      this.native.connect({ timeout: deadlineMs }, done);
    });
    this.native.setPollInterval(100);
  }

  initTransactions(deadlineMs: number): Promise<unknown> {
    return this.call('initTransactions', deadlineMs + 2_000, (done) => {
      this.native.initTransactions(deadlineMs, (error) => {
        done(error, undefined);
      });
    });
  }

  begin(): Promise<unknown> {
    return this.call('beginTransaction', 2_000, (done) => {
      this.native.beginTransaction((error) => {
        done(error, undefined);
      });
    });
  }

  /** Hands all writes to the client's queue; waits where it is full, up to deadlineMs. */
  async produce(writes: readonly Write[], deadlineMs: number): Promise<void> {
    const end = Date.now() + deadlineMs;
    for (const write of writes) {
      for (;;) {
        try {
          this.native.produce(
            write.topic,
            write.partition,
            write.value,
            write.key,
            null,
            undefined,
            headersToWrite(write),
          );
          break;
        } catch (error) {
          if (!isQueueFull(error) || Date.now() > end) throw error;
          this.native.poll();
          await new Promise((resolve) => setImmediate(resolve));
        }
      }
    }
  }

  sendOffsets(
    offsets: readonly PartitionOffset[],
    consumer: ConsumerClient,
    deadlineMs: number,
  ): Promise<unknown> {
    return this.call('sendOffsetsToTransaction', deadlineMs + 2_000, (done) => {
      this.native.sendOffsetsToTransaction([...offsets], consumer.native, deadlineMs, (error) => {
        done(error, undefined);
      });
    });
  }

  commit(deadlineMs: number): Promise<unknown> {
    return this.call('commitTransaction', deadlineMs + 2_000, (done) => {
      this.native.commitTransaction(deadlineMs, (error) => {
        done(error, undefined);
      });
    });
  }

  abort(deadlineMs: number): Promise<unknown> {
    return this.call('abortTransaction', deadlineMs + 2_000, (done) => {
      this.native.abortTransaction(deadlineMs, (error) => {
        done(error, undefined);
      });
    });
  }

  flush(deadlineMs: number): Promise<unknown> {
    return this.call('flush', deadlineMs + 1_000, (done) => {
      this.native.flush(deadlineMs, (error) => {
        done(error, undefined);
      });
    });
  }

  /**
   * Once each call has been answered. One that never is (sendOffsetsToTransaction where the group's coordinator is away:
   * librdkafka #5456) keeps its thread, and destroying its client then would keep another one, for ever.
   */
  async disconnect(deadlineMs: number): Promise<void> {
    if (!this.native.isConnected()) return;
    await settled<unknown>('disconnect', deadlineMs + 1_000, (done) => {
      void Promise.all(this.open).then(() => {
        destroyProducer(this.native, deadlineMs, done);
      });
    }).catch(() => undefined);
  }

  private call(
    what: string,
    deadlineMs: number,
    start: (callback: Callback<unknown>) => void,
  ): Promise<unknown> {
    let answered: () => void = () => undefined;
    const call = new Promise<void>((resolve) => (answered = resolve));
    this.open.add(call);
    return settled<unknown>(what, deadlineMs, (done) => {
      start((error, result) => {
        this.open.delete(call);
        answered();
        done(error, result);
      });
    });
  }
}
