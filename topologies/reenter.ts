import { dedupedIn } from '../processors/carried.js';
import { REENTRY_HEADERS, reentryHeaders } from '../processors/reentry/headers.js';
import type { EpochMs } from '../schemas/brand.js';
import { PipelineError, asError } from '../schemas/error.js';
import type {
  BudgetReserved,
  Lane,
  MessageDeduped,
  MessageRequest,
  MessageRouted,
} from '../schemas/generated/records.js';
import type { Coordinates, Headers } from '../schemas/record.js';
import type { Codecs } from '../schemas/topic-codecs.js';
import { TakenOffsets } from './taken-offsets.js';
import { type ClientSettings, ProducerClient } from './runtime/rdkafka-client.js';
import type { Write } from './runtime/raw-record.js';
import { groupOf } from './runtime/worker.js';
import { AGAIN_STAGES, topicNames, type AgainStage, type TopicNames } from './topic-names.js';

const DEADLINE_MS = 10_000;
const TRANSACTION_MS = 30_000;

/** A record that an operator puts back, as the input of its stage. */
export type Returning = {
  /** Where it was read. */
  readonly origin: Coordinates;
  readonly lane: Lane;
  /**
   * Of a parked record that is released by hand: which parking of the message it is, from 1 (releaseNoOf, as the
   * releaser counts). Absent: a replay or redrive.
   */
  readonly releaseNo?: number;
} & (
  | {
      readonly stage: 'dedupe';
      readonly value: MessageRequest;
      /** The producer's, or null: messageId. */
      readonly key: string | null;
      /** As it was decided last; 0 for what lies on ingest. */
      readonly generation: number;
    }
  | { readonly stage: 'budget-reserve'; readonly value: MessageDeduped }
  | { readonly stage: 'route'; readonly value: BudgetReserved }
  | { readonly stage: 'send'; readonly value: MessageRouted }
);

export interface ReentryRun {
  /** Names the run in headers, in the table of passes and as transactional id: two tools with one id fence each other. */
  readonly runId: string;
  /** Before the first record was looked at: milliseconds since the epoch. */
  readonly startedAt: EpochMs;
  /** In the operator's words; recorded. */
  readonly reason: string;
  /**
   * same: what was done already is left alone (replay; release by hand). next: a deliberate redelivery, paid for anew
   * (redrive, --again): everything goes back to before budget under generation + 1.
   */
  readonly generation: 'same' | 'next';
}

export interface Reentered {
  readonly written: number;
  /** Left out: their own group has not taken them yet, so that they are not to be repeated but to come. */
  readonly ahead: number;
}

export interface ReentryOptions {
  readonly client: ClientSettings;
  readonly prefix: string;
  readonly codecs: Codecs;
}

/**
 * Puts records back through `again.*`: the only way back in (docs/effectively-once.md, "Coming back in"). Each call is
 * one transaction, so a tool can store its own position after it and repeat a call whose end it does not know: what
 * was written twice passes once.
 */
export class ReentryProducer {
  private readonly options: ReentryOptions;
  private readonly run: ReentryRun;
  private readonly producer: ProducerClient;
  private readonly taken: TakenOffsets;
  private readonly names: TopicNames;
  private readonly common = new Map<string, Headers>();

  private constructor(options: ReentryOptions, run: ReentryRun) {
    this.options = options;
    this.run = run;
    this.taken = new TakenOffsets(options);
    this.names = topicNames(options.prefix);
    this.producer = new ProducerClient({
      ...options.client,
      'transactional.id': groupOf(options.prefix, `run.${run.runId}`),
      'transaction.timeout.ms': TRANSACTION_MS,
    });
  }

  /** @throws PipelineError kafka_unavailable, registry_unavailable, schema_incompatible */
  static async open(options: ReentryOptions, run: ReentryRun): Promise<ReentryProducer> {
    const names = topicNames(options.prefix);
    await options.codecs.open(
      (['p0', 'p1', 'p2', 'p3'] as const).flatMap((lane) =>
        AGAIN_STAGES.map((stage) => ({ topic: names.again(stage, lane), record: RECORDS[stage] })),
      ),
    );
    const opened = new ReentryProducer(options, run);
    await opened.insist(async () => {
      await opened.producer.connect(DEADLINE_MS);
      await opened.producer.initTransactions(DEADLINE_MS);
    });
    return opened;
  }

  /**
   * Writes those that their own group has taken; all of them or, where this throws, none or all.
   * @throws PipelineError kafka_unavailable: ask again
   */
  async reenter(records: readonly Returning[]): Promise<Reentered> {
    await this.insist(() => this.taken.lookUp(records.map(({ origin }) => origin)));
    const taken = records.filter(({ origin }) => this.taken.has(origin));
    const writes = taken.map((record) => this.write(record));
    if (writes.length > 0)
      await this.insist(async () => {
        await this.producer.begin();
        try {
          await this.producer.produce(writes, TRANSACTION_MS / 2);
          await this.producer.commit(TRANSACTION_MS);
        } catch (error) {
          await this.producer.abort(DEADLINE_MS).catch(() => undefined);
          throw error;
        }
      });
    return { written: writes.length, ahead: records.length - writes.length };
  }

  async close(): Promise<void> {
    await this.producer.disconnect(DEADLINE_MS);
  }

  private write(record: Returning): Write {
    const { stage, key, generation, value } = returned(record, this.run.generation);
    const topic = this.names.again(stage, record.lane);
    return {
      topic,
      partition: null,
      key,
      value: this.options.codecs.of(RECORDS[stage], topic).encode(value),
      headers: this.headers(record, generation),
    };
  }

  /** All but the offset is the same for thousands of records. */
  private headers({ origin, releaseNo = 0 }: Returning, generation: number): Headers {
    const id = `${origin.topic}/${String(origin.partition)}/${String(generation)}/${String(releaseNo)}`;
    const { runId, startedAt, reason } = this.run;
    let common = this.common.get(id);
    if (common === undefined) {
      common = reentryHeaders({ runId, startedAt, reason, generation, releaseNo, origin });
      this.common.set(id, common);
    }
    return { ...common, [REENTRY_HEADERS.offset]: Buffer.from(String(origin.offset)) };
  }

  private async insist(attempt: () => Promise<void>): Promise<void> {
    try {
      await attempt();
    } catch (error) {
      throw new PipelineError(
        'kafka_unavailable',
        `records were not put back: ${asError(error).message}`,
        error,
      );
    }
  }
}

const RECORDS = {
  dedupe: 'MessageRequest',
  'budget-reserve': 'MessageDeduped',
  route: 'BudgetReserved',
  send: 'MessageRouted',
} as const satisfies Record<AgainStage, string>;

interface Returned {
  readonly stage: AgainStage;
  readonly key: string;
  readonly generation: number;
  readonly value: MessageRequest | MessageDeduped | BudgetReserved | MessageRouted;
}

/** The next generation has no money yet, wherever the last one ended: it begins before budget. */
const returned = (record: Returning, as: ReentryRun['generation']): Returned => {
  const more = as === 'next' ? 1 : 0;
  if (record.stage === 'dedupe') {
    const { stage, value, generation } = record;
    return { stage, key: record.key ?? value.messageId, generation: generation + more, value };
  }
  const deduped = dedupedIn(record.value);
  const generation = deduped.generation + more;
  const { key } = deduped;
  return as === 'next'
    ? { stage: 'budget-reserve', key, generation, value: { ...deduped, generation } }
    : { stage: record.stage, key, generation, value: record.value };
};
