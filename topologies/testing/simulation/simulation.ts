import { recipientHash } from '../../../processors/recipient-hash.js';
import { tenantId } from '../../../schemas/brand.js';
import type {
  BreakerLevel,
  ConfigEntry,
  MessageRequest,
} from '../../../schemas/generated/records.js';
import type { Topic } from '../../../schemas/record.js';
import { memoryCodecs } from '../../../schemas/topic-codecs.js';
import { intake, sending } from '../../delivery.js';
import { receiving } from '../../measurement.js';
import { inputTopics } from '../../runtime/chain-stages.js';
import type { KafkaClients } from '../../runtime/kafka-clients.js';
import { type TopicPartition, partitionId } from '../../runtime/raw-record.js';
import { groupOf } from '../../runtime/worker.js';
import { typedTopics } from '../../topics.js';
import { TEST_CONFIG, configRecords, idOf, requestOf } from '../fixtures.js';
import { MemoryLedger } from '../memory-ledger.js';
import { MemoryFirstSeen, MemoryReceiptLog } from '../memory-ports.js';
import { Broker } from './broker.js';
import { BrokerLog } from './broker-log.js';
import { Carrier } from './carrier.js';
import { Groups } from './groups.js';
import { Faults, Host, Latencies } from './host.js';
import type { Plan, PlannedRequest, TimedFault } from './plan.js';
import { brokenPromises } from './promises.js';
import { Stores } from './stores.js';
import { TIMED_OUT } from './transactions.js';
import { SimulatedProcess, VirtualTime } from './virtual-time.js';
import { NO_LEASES } from '../no-leases.js';
import { SimulatedWorker, mayStopFor, reasonOf } from './worker.js';

const START = Date.UTC(2026, 0, 5, 9);
const PARTITIONS = 2;
const MAX_BATCH = 3;
const SESSION_TIMEOUT_MS = 6_000;
/** How long a supervisor takes to start a worker again. */
const RESTART_MS = 2_500;
/** A dependency that is away comes back after this. */
const AWAY_MS = 3_000;
/** When a member hears that its group has forgotten it. */
const HEARS_MS = 1_500;
/** After the last planned event: faults of points may still be met. */
const TAIL_MS = 15_000;
/** After that everything is whole again, and must come to rest within this: longer than all retries of a message. */
const REST_MS = 300_000;
const LOOK_EVERY_MS = 250;

const codecs = memoryCodecs();
const topics = typedTopics({
  prefix: '',
  codecs,
  channels: TEST_CONFIG.channels.map(({ name }) => name),
  tenantsWithOwnIngest: [],
});
const lane = topics.lane('p1');
const delivery = { recipientHash: recipientHash('key-of-the-tests-0'), topicPrefix: '' };
const topologies = [
  intake('p1', topics, delivery),
  sending('p1', topics, delivery),
  receiving(topics),
];
const config = new Map(configRecords(TEST_CONFIG, START).map(({ key, value }) => [key, value]));
const table = (topic: Topic<unknown>): ReadonlyMap<string, ConfigEntry | BreakerLevel> =>
  topic.name === topics.config.name ? config : new Map();
const sources = [
  ...topologies.flatMap(({ name, tasks }) =>
    tasks.map((stages, index) => ({
      group: groupOf('', index === 0 ? name : `${name}.${index.toString()}`),
      topics: [...inputTopics(stages).keys()],
    })),
  ),
];

/** A task and slot: their transactional id, less what a mutation appends to it. */
const placeOf = (id: string): string => id.replace(/-\d+$/, '');

export interface SimulationOptions {
  /** What breaks the clients of each worker on purpose (mutations.ts). */
  readonly wrap?: (clients: KafkaClients) => KafkaClients;
  /** false: dedupe believes Redis alone (mutations.ts). */
  readonly payersFirst?: boolean;
  /** false: the ledger reserves for whoever asks (mutations.ts). */
  readonly owners?: boolean;
  /** How long it may take to come to rest. */
  readonly restMs?: number;
  /** Write down what happens: slower. */
  readonly story?: boolean;
}

export interface SimulationResult {
  /** Promises that were broken; empty where all is well. */
  readonly broken: readonly string[];
  readonly story: readonly string[];
  /** Faults that struck, by kind. */
  readonly faults: ReadonlyMap<string, number>;
  readonly records: number;
  readonly submits: number;
  readonly held: number;
  readonly simulatedMs: number;
}

/** Runs a plan to its end, on this process's only thread, in simulated time. */
export const simulate = async (
  plan: Plan,
  options: SimulationOptions = {},
): Promise<SimulationResult> => new Simulation(plan, options).run();

interface Life {
  readonly worker: SimulatedWorker<object>;
  readonly process: SimulatedProcess;
  readonly host: Host;
}

export class Simulation {
  readonly topics = topics;
  /** Made once: a lane's codecs cost more than a run. */
  readonly lane = lane;
  readonly time = new VirtualTime(START);
  readonly log = new BrokerLog(PARTITIONS);
  readonly ledger = new MemoryLedger(TEST_CONFIG.tenants);
  readonly carrier: Carrier;
  readonly broker: Broker;
  readonly stores: Stores;
  readonly plan: Plan;
  /** Found while it ran. */
  readonly broken: string[] = [];
  /** Workers that live, by number. */
  readonly workers = new Map<number, Life>();
  private readonly story: string[] = [];
  /** When the last producer of a task and slot was initialised. */
  private readonly initialisedAt = new Map<string, number>();
  private readonly redis = new MemoryFirstSeen();
  private readonly latencies: Latencies;
  private readonly faults: Faults;
  private readonly groups: Groups;
  private readonly options: SimulationOptions;
  /** Killed and not started again; one at least stays. */
  private readonly gone = new Set<number>();
  private lives = 0;
  private pendingStarts = 0;
  private nextLook = 0;

  constructor(plan: Plan, options: SimulationOptions) {
    this.plan = plan;
    this.options = options;
    const { time, log } = this;
    this.latencies = new Latencies(plan.latencySeed);
    this.faults = new Faults(plan);
    this.groups = new Groups({
      time,
      log,
      latencyMs: this.latencies.oneWay,
      sessionTimeoutMs: SESSION_TIMEOUT_MS,
      wentBack: (group, id, from, to) =>
        this.broken.push(
          `${group}: the committed offset of ${id} went back from ${from.toString()} to ${to.toString()}`,
        ),
    });
    this.broker = new Broker({
      time,
      log,
      groups: this.groups,
      markerMs: this.latencies.marker,
      initialised: (id) => {
        this.initialisedAt.set(placeOf(id), time.now);
      },
      ended: (id, how, why, { begunAt, writes, offsets: sent }) => {
        const place = placeOf(id);
        if (why === TIMED_OUT && (this.initialisedAt.get(place) ?? 0) > begunAt)
          this.broken.push(
            `${place} has a producer again, and a transaction of the one before was left to its time-out`,
          );
        if (options.story !== true) return;
        const offsets = [...sent.values()].flat();
        const to = new Map<string, number>();
        for (const { topic } of writes) to.set(topic, (to.get(topic) ?? 0) + 1);
        const wrote = [...to].map(
          ([topic, count]) => `${topic}${count === 1 ? '' : ` x${count.toString()}`}`,
        );
        const moved = offsets.map((one) => `${partitionId(one)}=${one.offset.toString()}`);
        this.tell(
          `transaction of ${id} ${how}${why === '' ? '' : ` (${why})`}: ${wrote.join(', ') || 'nothing'}; offsets ${moved.join(' ') || 'none'}`,
        );
      },
    });
    this.carrier = new Carrier({
      time,
      answers: plan.answers,
      tell: this.tell,
      report: (receipt) => {
        this.tell(`carrier reports ${receipt.state} for ${receipt.attempt?.messageId ?? ''}`);
        this.broker.write(
          {
            topic: topics.receipts.name,
            partition: null,
            key: receipt.attempt?.messageId ?? null,
            value: topics.receipts.codec.encode(receipt),
          },
          time.now,
        );
      },
    });
    this.stores = new Stores({
      redis: this.redis,
      ledger: this.ledger,
      receipts: new MemoryReceiptLog(),
      payersFirst: options.payersFirst ?? true,
      fences: options.owners ?? true,
    });
  }

  async run(): Promise<SimulationResult> {
    const uninstall = this.time.install();
    try {
      const last = this.schedule();
      await this.time.run(() => false, START + last + TAIL_MS);
      this.heal();
      const { restMs = REST_MS } = this.options;
      const rested = await this.time.run(() => this.atRest(), this.time.now + restMs);
      if (!rested)
        this.broken.push(
          `not at rest ${(restMs / 1_000).toString()} s after the last fault: ${this.unrest()}`,
        );
      this.broken.push(...brokenPromises(this, rested));
    } finally {
      for (const { process } of this.workers.values()) this.time.kill(process);
      uninstall();
    }
    return {
      broken: this.broken,
      story: this.story,
      faults: this.faults.struck,
      records: this.plan.requests.length,
      submits: this.carrier.journal.length,
      held: this.ledger.pending.length,
      simulatedMs: this.time.now - START,
    };
  }

  /** Everything that a read_committed reader sees of a topic, decoded. */
  read<V>(topic: Topic<V>): V[] {
    return this.log
      .committed(topic.name)
      .flatMap(({ value }) => (value === null ? [] : [topic.codec.decode(value)]));
  }

  private readonly tell = (line: string): void => {
    if (this.options.story !== true) return;
    const number = (this.story.length + 1).toString().padStart(3);
    const at = ((this.time.now - START) / 1_000).toFixed(3).padStart(8);
    this.story.push(`${number}. ${at} s  ${line}`);
  };

  // --- what is planned ------------------------------------------------------------------------------------------

  /** Puts the plan's events into time; answers the last one's. */
  private schedule(): number {
    const { plan, time } = this;
    let last = 0;
    const at = (milliseconds: number, run: () => void): void => {
      last = Math.max(last, milliseconds);
      time.after(milliseconds, time.outside, run);
    };
    for (let worker = 0; worker < plan.workers; worker++)
      at(worker === 0 ? 0 : (plan.joinMs[worker - 1] ?? 0), () => {
        this.start(worker);
      });
    for (const request of plan.requests)
      at(request.atMs, () => {
        this.write(request);
      });
    for (const fault of plan.faults)
      if (!('point' in fault))
        at(fault.atMs, () => {
          this.strike(fault);
        });
    return last;
  }

  private write({ n, tenant, line, channel, key, content }: PlannedRequest): void {
    const request: MessageRequest = requestOf(n, START, {
      tenantId: tenantId(tenant),
      businessLine: line,
      channels: [channel],
      ...(content === 1 && { params: { code: 'other' } }),
    });
    const ingest = this.lane.ingest.pick();
    this.tell(`a producer writes ${idOf(n)}`);
    this.broker.write(
      { topic: ingest.name, partition: null, key, value: ingest.codec.encode(request) },
      this.time.now,
    );
  }

  private strike({ what, worker }: TimedFault): void {
    const { time } = this;
    const found = this.workers.get(worker);
    this.tell(
      `fault: ${what.startsWith('redis') || what.startsWith('ledger') ? what : `worker ${worker.toString()} is ${what}`}`,
    );
    switch (what) {
      case 'redis emptied':
        this.redis.empty();
        break;
      case 'redis away':
        this.redis.away = true;
        time.after(AWAY_MS, time.outside, () => {
          this.redis.away = false;
        });
        break;
      case 'ledger away':
        this.stores.ledgerAway = true;
        time.after(AWAY_MS, time.outside, () => {
          this.stores.ledgerAway = false;
        });
        break;
      case 'killed':
      case 'killed for good':
        // One that is dead already is not started again.
        if (what === 'killed for good' && this.gone.size + 1 < this.plan.workers)
          this.gone.add(worker);
        if (found === undefined) return;
        found.host.die();
        break;
      case 'frozen':
        if (found === undefined) return;
        found.host.freeze();
        break;
      case 'forgotten':
        if (found === undefined) return;
        this.groups.forget(found.process, HEARS_MS);
        break;
      case 'stopped':
        if (found === undefined) return;
        time.after(0, found.process, () => {
          found.worker.stop();
        });
    }
    this.faults.count(what);
  }

  private heal(): void {
    this.faults.active = false;
    this.redis.away = false;
    this.stores.ledgerAway = false;
    this.tell('no more faults');
  }

  // --- workers --------------------------------------------------------------------------------------------------

  private start(number: number): void {
    const { time, latencies, faults, groups, tell } = this;
    this.lives += 1;
    const process = new SimulatedProcess(
      `worker ${number.toString()} (life ${this.lives.toString()})`,
    );
    const host = new Host(number, process, { time, latencies, faults, groups, tell });
    const clients = this.broker.clients(host);
    this.tell(`${process.name} starts`);
    time.after(0, process, () => {
      const worker = new SimulatedWorker({
        slot: number,
        clients: this.options.wrap?.(clients) ?? clients,
        topologies,
        ports: {
          firstSeen: this.stores.firstSeen(host),
          reservations: this.stores.reservations(host),
          leases: NO_LEASES,
          receiptLog: this.stores.receiptLog(host),
          providers: {
            admit: (requests: readonly unknown[]) => requests.map(() => ({ waitMs: 0 })),
            perform: (calls: Parameters<Carrier['perform']>[0]) =>
              this.carrier.perform(calls, host),
          },
        },
        sink: this.stores.settling(
          host,
          [topics.feedback, topics.refused] as unknown as Topic<unknown>[],
          topics.feedback.name,
        ) as never,
        table,
        maxBatch: MAX_BATCH,
        tell: (line) => {
          this.tell(`${process.name}, ${line}`);
        },
      });
      this.workers.set(number, { worker, process, host });
      worker.run().then(
        () => {
          this.tell(`${process.name} has stopped`);
          this.time.kill(process);
        },
        (error: unknown) => {
          this.tell(`${process.name} stops by itself: ${reasonOf(error)}`);
          if (!mayStopFor(error))
            this.broken.push(`a worker stopped by itself: ${reasonOf(error)}`);
          this.time.kill(process);
          this.groups.silent(process);
        },
      );
    });
    this.supervise(number, process);
  }

  private supervise(number: number, process: SimulatedProcess): void {
    const look = (): void => {
      if (process.state !== 'dead') {
        this.time.after(LOOK_EVERY_MS, this.time.outside, look);
        return;
      }
      this.tell(`${process.name} is dead`);
      this.workers.delete(number);
      if (this.gone.has(number)) return;
      this.pendingStarts += 1;
      this.time.after(RESTART_MS, this.time.outside, () => {
        this.pendingStarts -= 1;
        if (!this.gone.has(number)) this.start(number);
      });
    };
    look();
  }

  // --- rest -----------------------------------------------------------------------------------------------------

  private atRest(): boolean {
    if (this.time.now < this.nextLook) return false;
    this.nextLook = this.time.now + LOOK_EVERY_MS;
    return this.unrest() === '';
  }

  /** What still moves; empty where nothing does. */
  private unrest(): string {
    if (this.pendingStarts > 0 || this.workers.size + this.gone.size < this.plan.workers)
      return 'a worker is away';
    if (this.carrier.reportsDue > 0) return 'a carrier will report';
    const [open] = this.broker.transactions.openOnes;
    if (open !== undefined) return `the transaction of ${open} is open`;
    for (const { group, topics: names } of sources)
      for (const at of names.flatMap((topic) => this.log.partitionsOf(topic)))
        if (this.unread(at, this.groups.committed(group, at) ?? 0))
          return `${group} has not read ${partitionId(at)} from ${String(this.groups.committed(group, at))}`;
    for (const { name } of [topics.feedback, topics.refused])
      for (const at of this.log.partitionsOf(name))
        if (this.unread(at, this.stores.settled(partitionId(at))))
          return `${partitionId(at)} is not settled`;
    for (const { process, worker } of this.workers.values()) {
      if (process.state !== 'running') return `${process.name} is ${process.state}`;
      for (const task of worker.tasks) {
        if (task['callsUnderWay'] > 0 || task['answers'].length > 0)
          return `${task.name} has calls under way`;
        for (const shard of task['shards'].values())
          for (const { staged } of shard.all())
            if (staged.kind === 'map' && (staged.size > 0 || staged.changes.size > 0))
              return `${task.name} ${shard.id} has open claims`;
      }
    }
    const [claim] = this.openClaims();
    return claim === undefined ? this.lag() : `${claim} is claimed`;
  }

  /** Rule 17: where nothing is left to read none is shown, whatever markers end the topics. */
  private lag(): string {
    for (const { worker } of this.workers.values())
      for (const task of worker.tasks)
        for (const at of task.partitions) {
          const lag = task.lag(at) ?? 0;
          if (lag > 0) return `${task.name} shows a lag of ${lag.toString()} on ${partitionId(at)}`;
        }
    return '';
  }

  private openClaims(): Set<string> {
    const open = new Set<string>();
    const { claims, claimsRetry } = this.lane;
    for (const { key, value } of [claims, claimsRetry].flatMap(({ name }) =>
      this.log.committed(name),
    ))
      if (value === null) open.delete(key?.toString() ?? '');
      else open.add(key?.toString() ?? '');
    return open;
  }

  private unread(at: TopicPartition, from: number): boolean {
    const log = this.log.partition(at);
    return log.stable < log.end || log.read(from, 1, 'read_committed').records.length > 0;
  }
}
