import type { TopicPartition } from '../../topologies/runtime/raw-record.js';
import type { FoundTransaction } from './find.js';
import type { Owner } from './owner.js';
import { taskOf } from './owner.js';

/** A transaction as the command shows it. */
export interface OpenTransaction {
  /** hanging: no coordinator will ever end it. */
  readonly kind: FoundTransaction['kind'];
  /** null: hanging. */
  readonly transactionalId: string | null;
  readonly owner: Owner | null;
  /** Its coordinator's word (Ongoing, PrepareCommit, ...); null: hanging. */
  readonly state: string | null;
  readonly producerId: bigint;
  readonly producerEpoch: number;
  /** By the broker's clock; hanging: since its last record. */
  readonly ageMs: number;
  /** After this the coordinator aborts it by itself; null: hanging. */
  readonly timeoutMs: number | null;
  /** It should have ended by itself, and did not. */
  readonly overdue: boolean;
  /** startOffset null: nothing of it lies there (yet), or it is another's topic. */
  readonly partitions: readonly (TopicPartition & { readonly startOffset: bigint | null })[];
  /** What a person may do; empty: wait. */
  readonly endedBy: readonly string[];
}

/** Coordinators look for transactions that are too old every 10 s (transaction.abort.timed.out...), and markers take time. */
const GRACE_MS = 15_000;
const REASON = '--reason "..."';

export const describeFound = (
  found: FoundTransaction,
  prefix: string,
  held: ReadonlySet<string> | null,
  now: number,
): OpenTransaction => {
  if (found.kind === 'hanging') {
    const [one] = found.open;
    return {
      kind: 'hanging',
      transactionalId: null,
      owner: null,
      state: null,
      producerId: one.producerId,
      producerEpoch: one.producerEpoch,
      ageMs: Math.max(0, now - one.lastTimestamp),
      timeoutMs: null,
      overdue: true,
      partitions: [one].map(({ topic, partition, startOffset }) => ({
        topic,
        partition,
        startOffset,
      })),
      endedBy: [byPlace(one)],
    };
  }
  const { transaction, open } = found;
  const { transactionalId, timeoutMs, state } = transaction;
  const task = taskOf(transactionalId, prefix);
  const ageMs = Math.max(0, now - transaction.startedAt);
  const overdue = ageMs > timeoutMs + GRACE_MS;
  const startOf = (place: TopicPartition) =>
    open.find((one) => one.topic === place.topic && one.partition === place.partition)
      ?.startOffset ?? null;
  return {
    kind: 'coordinated',
    transactionalId,
    owner:
      task === null
        ? { kind: 'other' }
        : { kind: 'task', ...task, held: held === null ? null : held.has(transactionalId) },
    state,
    producerId: transaction.producerId,
    producerEpoch: transaction.producerEpoch,
    ageMs,
    timeoutMs,
    overdue,
    partitions: transaction.partitions.map((place) => ({ ...place, startOffset: startOf(place) })),
    endedBy:
      state === 'Ongoing'
        ? [`millrace transactions abort --id ${transactionalId} ${REASON}`]
        : state === 'PrepareAbort' && overdue
          ? open.map(byPlace)
          : [],
  };
};

const byPlace = ({
  topic,
  partition,
  startOffset,
}: TopicPartition & { readonly startOffset: bigint }): string =>
  `millrace transactions abort --at ${topic}/${partition}/${startOffset} ${REASON}`;

export const ownerText = (owner: Owner | null): string => {
  if (owner === null) return 'nobody';
  if (owner.kind === 'other') return 'another producer';
  const holder =
    owner.held === null ? '' : owner.held ? ', a worker holds it' : ', no worker holds it';
  return `${owner.task}, slot ${owner.slot}${holder}`;
};
