import type { Reservations } from '../../../processors/budget-reserve/reservations.js';
import type { FirstSeen } from '../../../processors/dedupe/first-seen.js';
import { type OwnReservations, payersFirst } from '../../../processors/dedupe/own-reservations.js';
import type { ReceiptLog } from '../../../processors/receipts/receipt-log.js';
import type { Settled } from '../../../processors/settle/postings.js';
import { PipelineError } from '../../../schemas/error.js';
import type { DeliveryFeedback, MessageRefused } from '../../../schemas/generated/records.js';
import type { Topic } from '../../../schemas/record.js';
import { type PartitionId, type TopicPartition, partitionId } from '../../runtime/raw-record.js';
import type { Sink } from '../../runtime/sink-task.js';
import type { MemoryLedger } from '../memory-ledger.js';
import type { MemoryFirstSeen, MemoryReceiptLog } from '../memory-ports.js';
import type { Host } from './host.js';
import type { Point } from './plan.js';

type Event = DeliveryFeedback | MessageRefused;

/** Redis and Postgres of the simulation; each worker reaches them through its host, and may lose request or answer. */
export class Stores {
  ledgerAway = false;
  private readonly offsets = new Map<PartitionId, number>();
  /** Epochs of partition_owners. */
  private readonly owners = new Map<PartitionId, number>();
  private readonly fences: boolean;
  private readonly payersFirst: boolean;
  private readonly redis: MemoryFirstSeen;
  private readonly ledger: MemoryLedger;
  private readonly receipts: MemoryReceiptLog;

  constructor(parts: {
    readonly redis: MemoryFirstSeen;
    readonly ledger: MemoryLedger;
    readonly receipts: MemoryReceiptLog;
    readonly payersFirst: boolean;
    readonly fences: boolean;
  }) {
    this.fences = parts.fences;
    this.payersFirst = parts.payersFirst;
    this.redis = parts.redis;
    this.ledger = parts.ledger;
    this.receipts = parts.receipts;
  }

  firstSeen(host: Host): FirstSeen {
    if (!this.payersFirst) return this.cache(host);
    return payersFirst(this.cache(host), this.ownReservations(host));
  }

  private cache(host: Host): FirstSeen {
    return {
      claim: async (sightings, spanMs) => {
        try {
          return await this.ask(host, 'redis', () => this.redis.claim(sightings, spanMs));
        } catch {
          return sightings.map(() => null);
        }
      },
      release: async (releases) => {
        await this.ask(host, 'redis', () => this.redis.release(releases)).catch(() => undefined);
      },
    };
  }

  private ownReservations(host: Host): OwnReservations {
    return {
      reservedBy: (records) =>
        this.ask(host, 'ledger', () => {
          this.mustBeThere();
          return this.ledger.reservedBy(records);
        }),
    };
  }

  reservations(host: Host): Reservations {
    const { takeOver, mustOwn } = this.ownership(host);
    return {
      ...this.ownReservations(host),
      takeOver,
      reserve: (batch) => {
        const owned = mustOwn(batch);
        return this.ask(host, 'ledger', () => {
          owned();
          return this.ledger.reserve(batch);
        });
      },
    };
  }

  receiptLog(host: Host): ReceiptLog {
    const { takeOver, mustOwn } = this.ownership(host);
    return {
      takeOver,
      decide: (batch) => {
        const owned = mustOwn(batch);
        return this.ask(host, 'receipts', () => {
          owned();
          return this.receipts.decide(batch);
        });
      },
    };
  }

  /** partition_owners, and what one worker knows of it. */
  private ownership(host: Host): {
    readonly takeOver: Reservations['takeOver'];
    /** What a request says goes with it, however late it arrives. */
    readonly mustOwn: (records: readonly { readonly at: TopicPartition }[]) => () => void;
  } {
    const epochs = new Map<PartitionId, number>();
    return {
      takeOver: async (partitions) => {
        const ids = partitions.map(partitionId);
        const taken = await this.ask(host, 'owner', () => {
          this.mustBeThere();
          return ids.map((id) => {
            const epoch = (this.owners.get(id) ?? 0) + 1;
            this.owners.set(id, epoch);
            return epoch;
          });
        });
        for (const [index, id] of ids.entries()) epochs.set(id, taken[index] ?? 0);
      },
      mustOwn: (records) => {
        const asked = new Map(
          records.map(({ at }) => [partitionId(at), epochs.get(partitionId(at))] as const),
        );
        return () => {
          this.mustBeThere();
          if (this.fences && [...asked].some(([id, epoch]) => this.owners.get(id) !== epoch))
            throw new PipelineError('ownership_lost', 'simulated: another has taken over');
        };
      },
    };
  }

  /** settle and attempts in one: effect and offsets together, on the condition that the offsets are still where they were. */
  settling(host: Host, topics: readonly Topic<unknown>[], feedback: string): Sink<Event> {
    return {
      name: 'settle',
      topics: topics as readonly Topic<Event>[],
      load: (partitions) =>
        this.ask(host, 'settle', () => {
          this.mustBeThere();
          return partitions.map((one) => this.offsets.get(partitionId(one)) ?? one.beginning);
        }),
      write: (slices) =>
        this.ask(host, 'settle', () => {
          this.mustBeThere();
          const moved = slices.filter(
            (one) => (this.offsets.get(partitionId(one)) ?? 0) !== one.start,
          );
          if (moved.length > 0) return moved.map(({ topic, partition }) => ({ topic, partition }));
          for (const slice of slices) {
            this.offsets.set(partitionId(slice), slice.next);
            this.ledger.settle(slice.records.map(({ value }) => value as Settled));
            if (slice.topic !== feedback) continue;
            this.receipts.store(
              slice.records.map(({ key, value }) => ({
                key: key?.toString() ?? '',
                value: value as DeliveryFeedback,
              })),
              // Nothing is given up as unknown: every report of the simulation is of an attempt of ours.
              0,
            );
          }
          return [];
        }),
    };
  }

  /** Where settling stands, by partition. */
  settled(id: PartitionId): number {
    return this.offsets.get(id) ?? 0;
  }

  private mustBeThere(): void {
    if (this.ledgerAway) throw unavailable();
  }

  private async ask<T>(host: Host, point: Point, effect: () => T): Promise<Awaited<T>> {
    return await host.request<T>({
      point,
      effect,
      // As sinks/postgres/pool.ts and sinks/redis have them.
      deadlineMs: point === 'redis' ? 2_000 : 15_000,
      timedOut: unavailable,
      refused: unavailable,
    });
  }
}

const unavailable = (): PipelineError =>
  new PipelineError('postgres_unavailable', 'simulated: no answer');
