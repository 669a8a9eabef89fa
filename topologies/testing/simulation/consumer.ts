import {
  type PartitionId,
  type RawRecord,
  type TopicPartition,
  partitionId,
} from '../../runtime/raw-record.js';
import type { ClientSettings, PartitionOffset } from '../../runtime/rdkafka-client.js';
import { brokerErrors } from './broker-errors.js';
import type { Broker } from './broker.js';
import type { Member } from './groups.js';
import type { Host } from './host.js';
import { LATER } from './transactions.js';

/** An idle consumer asks again after this; whatever concerns it wakes it earlier. */
const IDLE_MS = 1_000;

interface Fetching extends TopicPartition {
  position: number;
  paused: boolean;
  endTold: number;
}

interface Callback {
  readonly kind: 'assign' | 'revoke';
  readonly partitions: TopicPartition[];
}

/** ConsumerClient over the simulated broker: the same calls, and librdkafka's order of rebalance callbacks. */
export class SimulatedConsumer {
  member: Member | null = null;
  readonly group: string;
  private readonly isolation: string;
  private readonly broker: Broker;
  private readonly host: Host;
  private readonly onRebalance:
    ((error: unknown, partitions: TopicPartition[]) => void) | undefined;
  private readonly fetching = new Map<PartitionId, Fetching>();
  private readonly paused = new Set<string>();
  private readonly ends: ((eof: PartitionOffset) => void)[] = [];
  private readonly callbacks: Callback[] = [];
  /** Told and not answered: the next one waits. */
  private told: Callback | null = null;
  private topics: string[] = [];
  private connected = false;
  private lost = false;
  private leaving = false;
  private wakeTake: () => void = () => undefined;

  constructor(
    broker: Broker,
    host: Host,
    settings: ClientSettings,
    onRebalance?: (error: unknown, partitions: TopicPartition[]) => void,
  ) {
    this.broker = broker;
    this.host = host;
    this.group = String(settings['group.id']);
    this.isolation = String(settings['isolation.level']);
    this.onRebalance = onRebalance;
  }

  readonly native = {
    isConnected: (): boolean => this.connected,
    subscribe: (topics: string[]): void => {
      this.topics = topics;
      this.join();
    },
    unsubscribe: (): void => {
      this.leaving = true;
      this.callbacks.length = 0;
      if (this.fetching.size === 0) this.leave();
      else this.callback({ kind: 'revoke', partitions: this.owned() });
    },
    assign: (partitions: PartitionOffset[]): void => {
      this.fetching.clear();
      for (const one of partitions) this.follow(one);
    },
    unassign: (): void => {
      this.fetching.clear();
    },
    incrementalAssign: (partitions: (TopicPartition & { offset?: number })[]): void => {
      if (this.told?.kind !== 'assign') throw brokerErrors.erroneousState('incremental assign');
      for (const one of partitions) this.follow({ ...one, offset: one.offset ?? 0 });
      this.answered();
    },
    incrementalUnassign: (partitions: TopicPartition[]): void => {
      for (const one of partitions) this.fetching.delete(partitionId(one));
      if (this.member !== null) this.broker.groups.returned(this.group, this.member, partitions);
      if (this.leaving && this.fetching.size === 0) this.leave();
      if (this.told?.kind === 'revoke') this.answered();
    },
    pause: (partitions: TopicPartition[]): void => {
      this.setPaused(partitions, true);
    },
    resume: (partitions: TopicPartition[]): void => {
      this.setPaused(partitions, false);
      this.wake();
    },
    // Sinks keep their offsets with the effect; what they commit to Kafka is for lag displays.
    commit: (): void => undefined,
    getWatermarkOffsets: (topic: string, partition: number): { highOffset: number } => ({
      highOffset: this.end({ topic, partition }),
    }),
    on: (_event: 'partition.eof', listener: (eof: PartitionOffset) => void): void => {
      this.ends.push(listener);
    },
  };

  async connect(): Promise<void> {
    await this.host.time.sleep(1);
    this.connected = true;
  }

  async take(max: number, waitMs: number): Promise<RawRecord[]> {
    let records = this.collect(max);
    if (records.length === 0) {
      const { time, process } = this.host;
      await new Promise<void>((resolve) => {
        const timer = time.after(
          Math.max(waitMs, waitMs > 20 ? IDLE_MS : waitMs),
          process,
          resolve,
        );
        this.broker.waiting.add(this);
        this.wakeTake = () => {
          timer.cancelled = true;
          time.after(1, process, resolve);
        };
      });
      this.broker.waiting.delete(this);
      this.wakeTake = () => undefined;
      records = this.collect(max);
    }
    if (records.length === 0) return [];
    return this.host
      .request({
        point: 'take',
        effect: () => records,
        deadlineMs: 1_000,
        // What was fetched and lost on the way is fetched again by the client itself.
        timedOut: () => brokerErrors.timedOut('fetch'),
        refused: () => brokerErrors.timedOut('fetch'),
      })
      .catch((error: unknown) => {
        for (const { at } of [...records].reverse()) {
          const one = this.fetching.get(partitionId(at));
          if (one !== undefined && at.offset < one.position) one.position = at.offset;
        }
        throw error;
      });
  }

  committed(
    partitions: readonly TopicPartition[],
    deadlineMs: number,
  ): Promise<(TopicPartition & { offset: number | null })[]> {
    return this.host.request({
      point: 'committed',
      effect: () => {
        const found: (TopicPartition & { offset: number | null })[] = [];
        for (const { topic, partition } of partitions) {
          const offset = this.broker.groups.committed(this.group, { topic, partition });
          if (offset === undefined) return LATER;
          found.push({ topic, partition, offset });
        }
        return found;
      },
      deadlineMs,
      timedOut: () => brokerErrors.timedOut('committed offsets'),
      refused: () => brokerErrors.timedOut('committed offsets'),
    });
  }

  watermarks(at: TopicPartition, deadlineMs: number): Promise<{ low: number; high: number }> {
    return this.host.request({
      point: 'watermarks',
      effect: () => ({ low: 0, high: this.end(at) }),
      deadlineMs,
      timedOut: () => brokerErrors.timedOut('watermarks'),
      refused: () => brokerErrors.timedOut('watermarks'),
    });
  }

  seek(to: PartitionOffset): Promise<void> {
    const one = this.fetching.get(partitionId(to));
    if (one === undefined) return Promise.reject(brokerErrors.erroneousState('seek'));
    one.position = to.offset;
    one.endTold = -1;
    this.wake();
    return Promise.resolve();
  }

  async disconnect(): Promise<void> {
    if (!this.connected) return;
    await this.host.time.sleep(1);
    this.connected = false;
    this.leave();
  }

  /** A partition's stable end has moved. */
  stableMoved(id: PartitionId): void {
    const one = this.fetching.get(id);
    if (one !== undefined && !one.paused) this.wake();
  }

  private wake(): void {
    this.wakeTake();
    this.wakeTake = () => undefined;
  }

  private end(at: TopicPartition): number {
    const log = this.broker.log.partition(at);
    return this.isolation === 'read_uncommitted' ? log.end : log.stable;
  }

  private collect(max: number): RawRecord[] {
    const all = [...this.fetching.values()].filter((one) => !one.paused);
    const first = all.length === 0 ? 0 : this.host.latencies.pick(all.length);
    const records: RawRecord[] = [];
    for (const one of [...all.slice(first), ...all.slice(0, first)]) {
      const read = this.broker.log
        .partition(one)
        .read(one.position, max - records.length, this.isolation);
      one.position = read.next;
      for (const record of read.records) records.push(record);
      const end = this.end(one);
      if (one.position >= end && one.endTold !== end) {
        one.endTold = end;
        const { topic, partition } = one;
        for (const listener of this.ends) listener({ topic, partition, offset: end });
      }
    }
    return records;
  }

  private follow({ topic, partition, offset }: PartitionOffset): void {
    this.fetching.set(partitionId({ topic, partition }), {
      topic,
      partition,
      position: offset,
      // As in librdkafka, a pause outlives the assignment.
      paused: this.paused.has(partitionId({ topic, partition })),
      endTold: -1,
    });
  }

  private setPaused(partitions: readonly TopicPartition[], paused: boolean): void {
    for (const one of partitions) {
      const id = partitionId(one);
      if (paused) this.paused.add(id);
      else this.paused.delete(id);
      const found = this.fetching.get(id);
      if (found !== undefined) found.paused = paused;
    }
  }

  private owned(): TopicPartition[] {
    return [...this.fetching.values()].map(({ topic, partition }) => ({ topic, partition }));
  }

  // --- the group ------------------------------------------------------------------------------------------------

  private join(): void {
    const { time, process, latencies } = this.host;
    this.lost = false;
    time.after(latencies.oneWay(), process, () => {
      if (this.leaving || !this.connected) return;
      const mine = (member: Member): boolean => this.member === member;
      const member: Member = this.broker.groups.join(this.group, {
        process,
        topics: this.topics,
        assign: (partitions) => {
          if (mine(member)) this.callback({ kind: 'assign', partitions });
        },
        revoke: (partitions) => {
          if (mine(member)) this.callback({ kind: 'revoke', partitions });
        },
        lost: () => {
          if (mine(member)) this.lose();
        },
      });
      this.member = member;
    });
  }

  private lose(): void {
    this.member = null;
    this.lost = true;
    this.callbacks.length = 0;
    this.goOn();
  }

  private leave(): void {
    if (this.member !== null) this.broker.groups.leave(this.group, this.member);
    this.member = null;
  }

  private callback(one: Callback): void {
    this.callbacks.push(one);
    this.goOn();
  }

  private answered(): void {
    this.told = null;
    this.host.time.after(0, this.host.process, () => {
      this.goOn();
    });
  }

  /** Nothing more is told before what was told is answered. */
  private goOn(): void {
    if (this.told !== null) return;
    const next = this.callbacks.shift();
    if (next !== undefined) {
      this.tell(next);
      return;
    }
    if (!this.lost || this.leaving) return;
    if (this.fetching.size > 0) this.tell({ kind: 'revoke', partitions: this.owned() });
    else this.join();
  }

  private tell(one: Callback): void {
    this.told = one;
    this.wake();
    this.onRebalance?.(
      one.kind === 'assign' ? brokerErrors.assign() : brokerErrors.revoke(),
      one.partitions,
    );
  }
}
