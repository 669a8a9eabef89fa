import { type PartitionId, type Write, partitionId } from '../../runtime/raw-record.js';
import type { PartitionOffset } from '../../runtime/rdkafka-client.js';
import { brokerErrors } from './broker-errors.js';
import type { BrokerLog, PartitionLog, Span } from './broker-log.js';
import type { Groups } from './groups.js';
import type { VirtualTime } from './virtual-time.js';

interface Transaction {
  readonly begunAt: number;
  readonly spans: Map<PartitionId, { readonly log: PartitionLog; readonly span: Span }>;
  readonly offsets: Map<string, PartitionOffset[]>;
  readonly writes: Write[];
  state: 'ongoing' | 'committing' | 'aborting';
}

interface TransactionalId {
  epoch: number;
  timeoutMs: number;
  current: Transaction | null;
}

/** Who may write for a transactional id. */
export interface ProducerIdentity {
  readonly id: string;
  readonly epoch: number;
}

export const TIMED_OUT = 'it timed out';

/** "Not now": the coordinator still ends the transaction before (CONCURRENT_TRANSACTIONS); clients ask again. */
export const LATER = Symbol('later');

export interface CoordinatorOptions {
  readonly time: VirtualTime;
  readonly log: BrokerLog;
  readonly groups: Groups;
  /** How long a marker takes to land. */
  readonly markerMs: () => number;
  readonly stableMoved: (log: PartitionLog) => void;
  readonly initialised: (id: string) => void;
  readonly ended: (
    id: string,
    how: 'committed' | 'aborted',
    why: string,
    transaction: Pick<Transaction, 'begunAt' | 'writes' | 'offsets'>,
  ) => void;
}

/**
 * The transaction coordinator: epochs fence, an ended transaction's markers land per partition and later than the
 * answer, and what its owner leaves open is aborted after its time-out. As before part 2 of KIP-890: the epoch does not
 * grow with each transaction, so a late request may end the next one.
 */
export class TransactionCoordinator {
  private readonly ids = new Map<string, TransactionalId>();
  private readonly options: CoordinatorOptions;

  constructor(options: CoordinatorOptions) {
    this.options = options;
  }

  init(id: string, timeoutMs: number): ProducerIdentity | typeof LATER {
    const found = this.ids.get(id);
    if (found === undefined) {
      this.ids.set(id, { epoch: 0, timeoutMs, current: null });
      this.options.initialised(id);
      return { id, epoch: 0 };
    }
    if (found.current !== null) {
      if (found.current.state === 'ongoing') {
        found.epoch += 1;
        this.finish(id, found, found.current, 'aborted', 'a new producer took over');
      }
      return LATER;
    }
    found.epoch += 1;
    found.timeoutMs = timeoutMs;
    this.options.initialised(id);
    return { id, epoch: found.epoch };
  }

  add(who: ProducerIdentity, writes: readonly Write[]): typeof LATER | undefined {
    const transaction = this.open(who);
    if (transaction === LATER) return LATER;
    const { log, time } = this.options;
    for (const write of writes) {
      const partition = log.of(write);
      const id = partitionId(partition.at);
      let joined = transaction.spans.get(id);
      if (joined === undefined)
        transaction.spans.set(id, (joined = { log: partition, span: partition.begin() }));
      partition.append(write, joined.span, time.now);
      transaction.writes.push(write);
    }
    return undefined;
  }

  addOffsets(
    who: ProducerIdentity,
    group: string,
    member: string | null,
    generation: number,
    offsets: readonly PartitionOffset[],
  ): typeof LATER | undefined {
    const transaction = this.open(who);
    if (transaction === LATER) return LATER;
    this.options.groups.checkMember(group, member, generation);
    const before = transaction.offsets.get(group) ?? [];
    transaction.offsets.set(group, [...before, ...offsets]);
    this.options.groups.pending(group, offsets, 1);
    return undefined;
  }

  end(who: ProducerIdentity, how: 'committed' | 'aborted'): typeof LATER | undefined {
    const found = this.mine(who);
    const { current } = found;
    if (current === null) return undefined;
    if (current.state !== 'ongoing') {
      const same = (current.state === 'committing') === (how === 'committed');
      if (same) return undefined;
      return LATER;
    }
    this.finish(who.id, found, current, how, '');
    return undefined;
  }

  /** Transactions that nobody has ended yet. */
  get openOnes(): string[] {
    return [...this.ids].filter(([, { current }]) => current !== null).map(([id]) => id);
  }

  isOpen(id: string): boolean {
    return this.ids.get(id)?.current?.state === 'ongoing';
  }

  private mine({ id, epoch }: ProducerIdentity): TransactionalId {
    const found = this.ids.get(id);
    if (found?.epoch !== epoch) throw brokerErrors.fenced();
    return found;
  }

  private open(who: ProducerIdentity): Transaction | typeof LATER {
    const found = this.mine(who);
    if (found.current === null) {
      const begun: Transaction = {
        begunAt: this.options.time.now,
        spans: new Map(),
        offsets: new Map(),
        writes: [],
        state: 'ongoing',
      };
      found.current = begun;
      // The broker looks once a second for what has timed out.
      this.options.time.after(found.timeoutMs + 1_000, this.options.time.outside, () => {
        if (found.current !== begun || begun.state !== 'ongoing') return;
        found.epoch += 1;
        this.finish(who.id, found, begun, 'aborted', TIMED_OUT);
      });
      return begun;
    }
    return found.current.state === 'ongoing' ? found.current : LATER;
  }

  private finish(
    id: string,
    of: TransactionalId,
    transaction: Transaction,
    how: 'committed' | 'aborted',
    why: string,
  ): void {
    const { time, groups, markerMs, stableMoved, ended } = this.options;
    transaction.state = how === 'committed' ? 'committing' : 'aborting';
    ended(id, how, why, transaction);
    let left = transaction.spans.size + transaction.offsets.size;
    const landed = (): void => {
      left -= 1;
      if (left <= 0 && of.current === transaction) of.current = null;
    };
    for (const { log, span } of transaction.spans.values())
      time.after(markerMs(), time.outside, () => {
        log.finish(span, how);
        stableMoved(log);
        landed();
      });
    for (const [group, offsets] of transaction.offsets)
      time.after(markerMs(), time.outside, () => {
        groups.pending(group, offsets, -1);
        if (how === 'committed') groups.commit(group, offsets);
        landed();
      });
    if (left === 0) of.current = null;
  }
}
