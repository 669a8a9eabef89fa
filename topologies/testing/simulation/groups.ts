import { type PartitionId, type TopicPartition, partitionId } from '../../runtime/raw-record.js';
import type { PartitionOffset } from '../../runtime/rdkafka-client.js';
import { brokerErrors } from './broker-errors.js';
import type { BrokerLog } from './broker-log.js';
import type { SimulatedProcess, VirtualTime } from './virtual-time.js';

/** A consumer as its group sees it. */
export interface Member {
  readonly id: string;
  readonly process: SimulatedProcess;
  readonly topics: readonly string[];
  generation: number;
  /** What the group tells it comes in order. */
  toldAt: number;
  /** Granted and not handed back yet. */
  readonly owned: Map<PartitionId, TopicPartition>;
  readonly assign: (partitions: TopicPartition[]) => void;
  readonly revoke: (partitions: TopicPartition[]) => void;
  /** The group has forgotten it, and it hears of that. */
  readonly lost: () => void;
}

interface Group {
  readonly members: Map<string, Member>;
  readonly revoking: Set<PartitionId>;
  readonly committed: Map<PartitionId, number>;
  readonly pending: Map<PartitionId, number>;
  generation: number;
}

export interface GroupOptions {
  readonly time: VirtualTime;
  readonly log: BrokerLog;
  readonly latencyMs: () => number;
  readonly sessionTimeoutMs: number;
  readonly wentBack: (group: string, id: PartitionId, from: number, to: number) => void;
}

/** The group coordinator: sticky, cooperative; it checks member and generation of a commit, never who owns a partition. */
export class Groups {
  private readonly groups = new Map<string, Group>();
  private readonly options: GroupOptions;
  private joined = 0;

  constructor(options: GroupOptions) {
    this.options = options;
  }

  join(name: string, member: Omit<Member, 'id' | 'generation' | 'toldAt' | 'owned'>): Member {
    const group = this.group(name);
    this.joined += 1;
    const one: Member = {
      ...member,
      id: `m${this.joined.toString()}`,
      generation: -1,
      toldAt: 0,
      owned: new Map(),
    };
    group.members.set(one.id, one);
    this.rebalance(group);
    return one;
  }

  leave(name: string, { id }: Member): void {
    const group = this.group(name);
    const member = group.members.get(id);
    if (member === undefined) return;
    group.members.delete(id);
    for (const one of member.owned.keys()) group.revoking.delete(one);
    member.owned.clear();
    this.rebalance(group);
  }

  /** Handed back by its owner. */
  returned(name: string, { id }: Member, partitions: readonly TopicPartition[]): void {
    const group = this.group(name);
    const member = group.members.get(id);
    if (member === undefined) return;
    for (const one of partitions) {
      member.owned.delete(partitionId(one));
      group.revoking.delete(partitionId(one));
    }
    this.rebalance(group);
  }

  /** Members of a process that has not been heard of for a session: what SIGKILL or SIGSTOP comes to. */
  silent(process: SimulatedProcess): void {
    this.options.time.after(this.options.sessionTimeoutMs, this.options.time.outside, () => {
      if (process.state === 'running') return;
      this.forget(process, 0);
    });
  }

  /** Forgets a process's members; those that live hear of it after `hearsAfterMs`. */
  forget(process: SimulatedProcess, hearsAfterMs: number): void {
    for (const [name, group] of this.groups)
      for (const member of [...group.members.values()]) {
        if (member.process !== process) continue;
        this.leave(name, member);
        this.options.time.after(hearsAfterMs + this.options.latencyMs(), process, member.lost);
      }
  }

  /** TxnOffsetCommit. @throws as librdkafka does: the transaction must be aborted */
  checkMember(name: string, id: string | null, generation: number): void {
    const group = this.group(name);
    const member = id === null ? undefined : group.members.get(id);
    if (member === undefined) throw brokerErrors.unknownMember();
    if (generation !== group.generation) throw brokerErrors.oldGeneration();
  }

  pending(name: string, offsets: readonly PartitionOffset[], by: number): void {
    const { pending } = this.group(name);
    for (const one of offsets) {
      const id = partitionId(one);
      pending.set(id, (pending.get(id) ?? 0) + by);
    }
  }

  commit(name: string, offsets: readonly PartitionOffset[]): void {
    const { committed } = this.group(name);
    for (const one of offsets) {
      const id = partitionId(one);
      const before = committed.get(id) ?? 0;
      if (one.offset < before) this.options.wentBack(name, id, before, one.offset);
      committed.set(id, one.offset);
    }
  }

  /** The stable committed offset; null: none; undefined: a transaction that moves it is still open. */
  committed(name: string, at: TopicPartition): number | null | undefined {
    const { committed, pending } = this.group(name);
    const id = partitionId(at);
    if ((pending.get(id) ?? 0) > 0) return undefined;
    return committed.get(id) ?? null;
  }

  private group(name: string): Group {
    let found = this.groups.get(name);
    if (found === undefined)
      this.groups.set(
        name,
        (found = {
          members: new Map(),
          revoking: new Set(),
          committed: new Map(),
          pending: new Map(),
          generation: 0,
        }),
      );
    return found;
  }

  private rebalance(group: Group): void {
    const { time, latencyMs, log } = this.options;
    group.generation += 1;
    const { generation } = group;
    const members = [...group.members.values()];
    const tell = (member: Member, what: () => void): void => {
      member.toldAt = Math.max(member.toldAt, time.now + latencyMs());
      time.after(member.toldAt - time.now, member.process, what);
    };
    for (const member of members)
      // Until it has heard, its commits are of an old generation.
      tell(member, () => {
        member.generation = Math.max(member.generation, generation);
      });
    if (members.length === 0) return;
    const all = (members[0]?.topics ?? []).flatMap((topic) => log.partitionsOf(topic));
    const most = Math.ceil(all.length / members.length);
    const free = new Map(all.map((one) => [partitionId(one), one]));
    for (const member of members) for (const id of member.owned.keys()) free.delete(id);
    for (const member of members) {
      const surplus = [...member.owned].slice(most).filter(([id]) => !group.revoking.has(id));
      if (surplus.length === 0) continue;
      for (const [id] of surplus) group.revoking.add(id);
      const partitions = surplus.map(([, one]) => one);
      tell(member, () => {
        member.revoke(partitions);
      });
    }
    for (const member of members) {
      const room = most - member.owned.size;
      const granted = [...free].slice(0, Math.max(0, room));
      if (granted.length === 0) continue;
      for (const [id, one] of granted) {
        free.delete(id);
        member.owned.set(id, one);
      }
      const partitions = granted.map(([, one]) => one);
      tell(member, () => {
        member.assign(partitions);
      });
    }
  }
}
