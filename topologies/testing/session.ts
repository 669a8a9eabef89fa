import type { RawRecord, TopicPartition, Write } from '../runtime/raw-record.js';
import { partitionId } from '../runtime/raw-record.js';
import type { ClientSettings } from '../runtime/rdkafka-client.js';
import {
  type Batch,
  DEFAULT_TIMING,
  type GroupProtocol,
  type SessionEvent,
  type SessionOwner,
  type SessionTiming,
  TransactionSession,
  type Unit,
} from '../runtime/transaction-session.js';
import { type TestKafka, eventually } from './kafka.js';

export interface TestSessionOptions {
  readonly group: string;
  readonly slot: number;
  readonly topics: readonly string[];
  readonly protocol: GroupProtocol;
  readonly timing?: Partial<SessionTiming>;
  readonly client?: ClientSettings;
  readonly finish?: SessionOwner['finish'];
  readonly restore?: SessionOwner['restore'];
}

/** A session whose owner writes down what is asked of it. */
export class TestSession {
  readonly session: TransactionSession;
  readonly events: SessionEvent[] = [];
  readonly restored: string[] = [];
  readonly finished: string[] = [];

  constructor(kafka: TestKafka, options: TestSessionOptions) {
    const { group, slot, topics, protocol } = options;
    this.session = new TransactionSession(
      {
        client: { ...kafka.client, ...options.client },
        groupId: `${kafka.prefix}${group}`,
        transactionalId: `${kafka.prefix}${group}.${slot.toString()}`,
        topics,
        groupProtocol: protocol,
        timing: { ...DEFAULT_TIMING, ...options.timing },
      },
      {
        restore: (partitions) => {
          this.restored.push(...partitions.map(partitionId));
          return options.restore?.(partitions) ?? Promise.resolve();
        },
        assigned: () => undefined,
        finish: (partitions) => {
          this.finished.push(...partitions.map(partitionId));
          return options.finish?.(partitions) ?? Promise.resolve();
        },
        gone: () => undefined,
        onEvent: (event) => this.events.push(event),
      },
    );
  }

  get owned(): string[] {
    return this.session.partitions.map(partitionId).sort();
  }

  kinds(): string[] {
    return this.events.map(({ kind }) => kind);
  }

  /** Carries out rebalances and fetches: what a task does all the time. */
  async take(max = 500): Promise<Batch> {
    return this.session.take(max, 50, new Promise(() => undefined));
  }

  /** Takes until at least `count` records have come. */
  async collect(count: number, max = 500): Promise<Batch> {
    const records: RawRecord[] = [];
    const epochs = new Map<string, number>();
    await eventually(`${count.toString()} records`, async () => {
      const batch = await this.take(max);
      records.push(...batch.records);
      for (const [id, epoch] of batch.epochs) epochs.set(id, epoch);
      return records.length >= count;
    });
    return { records, epochs };
  }

  /** Takes until this many partitions are owned; what comes meanwhile is read again later. */
  async own(count: number, others: readonly TestSession[] = []): Promise<void> {
    await eventually(`${count.toString()} partitions owned`, async () => {
      for (const one of [this, ...others]) await one.take();
      return this.owned.length === count;
    });
    await this.session.rewind();
  }
}

/** The transaction that finishes these records. */
export const unitOf = (batch: Batch, writes: readonly Write[]): Unit => {
  const next = new Map<string, TopicPartition & { offset: number }>();
  for (const { at } of batch.records)
    next.set(partitionId(at), {
      topic: at.topic,
      partition: at.partition,
      offset: at.offset + 1,
    });
  return { touched: batch.epochs, next: [...next.values()], writes };
};
