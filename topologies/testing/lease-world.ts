import { tariffOf } from '../../processors/budget-reserve/budget-reserve.js';
import {
  type LeasedReserve,
  leasedReserve,
} from '../../processors/budget-reserve/leased-reserve.js';
import type { LeaseReturn, LeaseState, Leases } from '../../processors/budget-reserve/leases.js';
import type { Reservations } from '../../processors/budget-reserve/reservations.js';
import { type SpendBatch, type SpendId, spendIdOf } from '../../processors/budget-reserve/spend.js';
import { worstCase } from '../../processors/budget-reserve/worst-case.js';
import type { Decision } from '../../processors/processor.js';
import { NOW, configTable, deduped } from '../../processors/testing/intake-fixtures.js';
import type { MessageId, Micros, TenantId } from '../../schemas/brand.js';
import { messageId, tenantId } from '../../schemas/brand.js';
import { PipelineError } from '../../schemas/error.js';
import type { AccountLevel, MessageDeduped } from '../../schemas/generated/records.js';
import { memoryCodecs } from '../../schemas/topic-codecs.js';
import { postgresAccountLevels } from '../../sinks/postgres/account-levels.js';
import { postgresLeases } from '../../sinks/postgres/leases.js';
import { partitionOwnership } from '../../sinks/postgres/partition-ownership.js';
import type { Database } from '../../sinks/postgres/pool.js';
import { postgresReservations } from '../../sinks/postgres/reservations.js';
import { postgresSettlements } from '../../sinks/postgres/settlements.js';

import { ChainRun, type ChainStage, Shard, inputsOf } from '../runtime/chain.js';
import { stage } from '../topology.js';
import { typedTopics } from '../topics.js';

/** What one message did to the ledger, as `reserved` told it. */
export interface Reserved {
  readonly message: MessageDeduped;
  readonly cashMicros: Micros;
  readonly units: number;
  /** null: reserved directly. */
  readonly spend: SpendId | null;
}

/** How a piece of work ends. */
export type End =
  /** Committed, and what was given up of leases is told to Postgres. */
  | 'commit'
  /** Killed after Postgres and before Kafka: another owner begins where the state is. */
  | 'crash'
  /** Aborted, and begun again by the same owner. */
  | 'abort'
  /** Committed, and killed before Postgres was told. */
  | 'untold';

type Emission = NonNullable<Decision<LeasedReserve>['emit']>[number];

const LANE = 'p1';
const TENANT = 'acme';
const noMetrics = {
  recordsIn: () => undefined,
  recordsOut: () => undefined,
  deadLetters: (_stage: string, code: string) => {
    throw new Error(`a dead letter: ${code}`);
  },
  custom: () => undefined,
};

interface Working {
  readonly shard: Shard;
  readonly log: MessageDeduped[];
  position: number;
  stage: ChainStage;
  restored: boolean;
  readonly told: { readonly call: LeaseReturn; readonly booked: boolean }[];
}

/**
 * The leased stage as its task runs it, many partitions of it, with the real ledger behind; and what stands between: the
 * logs of spends and `feedback` that settle reads, `again` where diverted records are asked about, and the table
 * `accounts`. Nothing happens but what is asked for, in the order in which it is asked.
 */
export class LeaseWorld {
  now = NOW;
  readonly reserved: Reserved[] = [];
  readonly refused: { readonly message: MessageDeduped; readonly reason: string }[] = [];
  readonly diverted: MessageDeduped[] = [];
  /** Read by the table `accounts`: of the last look(). */
  readonly accounts = new Map<string, AccountLevel>();
  divertedInAll = 0;
  /** To what is returned. */
  postgresIsAway = false;
  grants = 0;
  statements = 0;
  private readonly config;
  private readonly topics = typedTopics({
    prefix: '',
    codecs: memoryCodecs(),
    channels: ['sms', 'app_push', 'webhook', 'email'],
    tenantsWithOwnIngest: [],
  });
  private readonly partitions: Working[];
  private readonly again: Reservations;
  private againOffset = 0;
  private readonly settlements;
  private readonly database: Database;
  /** One each, so that settle may read any number. */
  private readonly spends: SpendBatch[] = [];
  private readonly postings: Parameters<
    ReturnType<typeof postgresSettlements>['apply']
  >[0][number]['postings'][number][] = [];
  private spent = 0;
  private posted = 0;
  private readonly name: string;

  /** @param name of this world's own: several share one database */
  constructor(
    database: Database,
    name: string,
    options: { readonly partitions: number; readonly lines: readonly string[] },
  ) {
    this.name = name;
    this.database = {
      ...database,
      query: (query, values) => {
        this.statements += 1;
        return database.query(query, values);
      },
    };
    this.config = configTable({
      tenants: [
        {
          id: `${name}${TENANT}`,
          businessLines: options.lines.map((line) => ({
            name: line,
            currency: 'CNY',
            initialCash: '1',
            initialUnits: 1,
            reserve: 'leased',
          })),
        },
      ],
    });
    this.settlements = postgresSettlements(this.database, `settle.${name}`);
    this.partitions = Array.from({ length: options.partitions }, (_, partition) => {
      const own = this.owner();
      return {
        shard: new Shard(this.source, partition, [own]),
        log: [],
        position: 0,
        stage: own,
        restored: true,
        told: [],
      };
    });
    const ownership = partitionOwnership(this.database);
    this.again = postgresReservations(this.database, ownership);
  }

  async begin(): Promise<void> {
    for (const one of this.partitions) await this.takeOver(one);
    await this.again.takeOver([{ topic: `again.${this.name}`, partition: 0 }]);
    await this.settlements.loadOffsets(
      ['reserved', 'feedback'].map((topic) => ({
        topic: `${topic}.${this.name}`,
        partition: 0,
        beginning: 0,
      })),
    );
  }

  private get source(): string {
    return `ingest.${this.name}.${LANE}`;
  }

  get tenant(): TenantId {
    return tenantId(`${this.name}${TENANT}`);
  }

  /** Of app_push: 0.002 a unit, so 2,000 micros. */
  offer(partition: number, line: string, number: number): void {
    this.at(partition).log.push(this.message(line, this.id(number)));
  }

  /** Once more, as it was: refused for now, its producer sends it again. */
  offerAgain(partition: number, message: MessageDeduped): void {
    this.at(partition).log.push(message);
  }

  waiting(partition: number): number {
    const { log, position } = this.at(partition);
    return log.length - position;
  }

  leaseOf(partition: number, line: string): LeaseState | undefined {
    const store = this.at(partition).shard.stores.get('budget-reserve')?.['leases'];
    return store?.kind === 'map'
      ? (store.get(`${this.tenant}/${line}`) as LeaseState | undefined)
      : undefined;
  }

  /** Takes so many records, looks at timers, and ends so. */
  async work(partition: number, records: number, end: End, ticking = true): Promise<void> {
    const one = this.at(partition);
    const { shard, log, position } = one;
    const run = new ChainRun({
      stages: [one.stage],
      changelogs: new Map([['budget-reserve/leases', this.topics.lane(LANE).leases]]) as never,
      deadLetters: 'dead-letters',
      now: () => this.now,
      metrics: noMetrics,
    });
    if (!one.restored) run.wake(shard, 'restored');
    const inputs = log.slice(position, position + records).map((value, index) => ({
      shard,
      input: {
        raw: {
          at: { topic: shard.topic, partition, offset: position + index },
          key: Buffer.from(value.key),
          value: null,
          timestamp: this.now,
          headers: {},
        },
        value,
      },
    }));
    await run.run(inputs);
    for (const told of one.told) run.answer(one.stage, shard, told);
    if (ticking) run.wake(shard, 'tick');
    run.finish();
    const stores = [...shard.all()];
    if (end === 'abort' || end === 'crash') {
      for (const { staged } of stores) staged.drop();
      if (end === 'crash') await this.replace(one);
      return;
    }
    for (const { staged } of stores) staged.apply();
    one.restored = true;
    one.told.length = 0;
    one.position += inputs.length;
    for (const decision of run.decisions.get(one.stage) ?? [])
      for (const emission of (decision.emit ?? []) as readonly Emission[]) this.written(emission);
    if (end === 'untold') {
      await this.replace(one);
      return;
    }
    const calls = run.calls.map(({ call }) => call);
    if (calls.length === 0) return;
    const { perform } = one.stage.definition.processor;
    for await (const answer of perform?.(calls, one.stage.ports) ?? [])
      one.told.push(answer as Working['told'][number]);
  }

  /** What comes of a message that was reserved: told to settle later. */
  resolve(
    of: Reserved,
    kind: 'post' | 'void' | 'reverse',
    { renewable = false, cashMicros = of.cashMicros - 1n } = {},
  ): void {
    const { message, spend } = of;
    const { request, generation } = message;
    this.postings.push({
      kind,
      tenantId: request.tenantId,
      messageId: request.messageId,
      generation,
      createdAt: request.createdAt,
      cashMicros,
      units: of.units,
      renewable,
      ...(spend && { spend }),
    });
  }

  /** Settle reads so many spends and postings that it has not read. */
  async settle(spends: number, postings: number): Promise<void> {
    const reserved = this.spends.slice(this.spent, this.spent + spends);
    const resolved = this.postings.slice(this.posted, this.posted + postings);
    const slice = (topic: string, start: number, count: number) => ({
      topic: `${topic}.${this.name}`,
      partition: 0,
      start,
      next: start + count,
    });
    const answer = await this.settlements.apply([
      { ...slice('reserved', this.spent, reserved.length), spends: reserved, postings: [] },
      { ...slice('feedback', this.posted, resolved.length), postings: resolved },
    ]);
    if (answer.kind === 'lost') throw new Error('no other settles');
    this.spent += reserved.length;
    this.posted += resolved.length;
  }

  get unsettled(): number {
    return this.spends.length - this.spent + this.postings.length - this.posted;
  }

  /** The re-entry task asks about what was diverted; what has to wait stays. */
  async askAgain(): Promise<void> {
    const tariff = tariffOf(this.config);
    const asked = this.diverted.splice(0);
    if (asked.length === 0) return;
    const decisions = await this.again.reserve(
      asked.map(({ request, generation }) => {
        const worst = worstCase(request, tariff);
        if (worst.kind === 'refused') throw new Error('it has a price');
        this.againOffset += 1;
        return {
          tenantId: request.tenantId,
          businessLine: request.businessLine,
          messageId: request.messageId,
          generation,
          createdAt: request.createdAt,
          at: { topic: `again.${this.name}`, partition: 0, offset: this.againOffset },
          cashMicros: worst.cashMicros,
          units: worst.units,
          currency: worst.currency,
          unitsCap: request.units,
          cashCapMicros: request.maxCostMicros,
        };
      }),
    );
    for (const [index, decision] of decisions.entries()) {
      const message = asked[index];
      if (message === undefined) continue;
      if (decision.kind === 'recalling') this.diverted.push(message);
      else if (decision.kind === 'reserved')
        this.reserved.push({ ...decision, message, spend: null });
      else this.refused.push({ message, reason: decision.kind });
    }
  }

  /** The topic `accounts`, as of now. */
  async look(): Promise<void> {
    const levels = postgresAccountLevels(this.database);
    const changed = await levels.changed();
    for (const { record } of changed)
      this.accounts.set(`${record.tenantId}/${record.businessLine}`, record);
    await levels.published(changed);
  }

  message(line: string, id: MessageId): MessageDeduped {
    const value = deduped({ tenantId: this.tenant, businessLine: line, channels: ['app_push'] });
    return { ...value, request: { ...value.request, messageId: id } };
  }

  id(number: number): MessageId {
    return messageId(`00000000-0000-4000-8000-${String(number).padStart(12, '0')}`);
  }

  private written(emission: Emission): void {
    if (emission.to === 'diverted') {
      this.diverted.push(emission.value);
      this.divertedInAll += 1;
    } else if (emission.to === 'spends') {
      const { source, spends } = emission.value;
      for (const spend of spends) this.spends.push({ source, spends: [spend] });
    } else if (emission.to === 'refused') {
      const { messageId: id, reason } = emission.value;
      if (id === null) throw new Error('refused without its id');
      this.refused.push({ message: this.message(emission.value.businessLine ?? '', id), reason });
    } else {
      const { deduped: message, cashMicros, units, leaseId } = emission.value;
      this.reserved.push({
        message,
        cashMicros,
        units,
        spend: leaseId === null ? null : spendIdOf(leaseId),
      });
    }
  }

  private async replace(one: Working): Promise<void> {
    one.stage = this.owner();
    one.restored = false;
    one.told.length = 0;
    await this.takeOver(one);
  }

  private takeOver(one: Working): Promise<void> {
    const { topic, partition } = one.shard;
    const { processor } = one.stage.definition;
    return processor.takeOver?.([{ topic, partition }], one.stage.ports) ?? Promise.resolve();
  }

  /** A worker's stage, with its own name in the ledger. */
  private owner(): ChainStage {
    const lane = this.topics.lane(LANE);
    const ownership = partitionOwnership(this.database);
    const leases = postgresLeases(this.database, ownership);
    const counting: Leases = {
      usable: () => true,
      grant: (asks) => {
        this.grants += 1;
        return leases.grant(asks);
      },
      giveBack: (returns) => {
        if (this.postgresIsAway)
          throw new PipelineError('postgres_unavailable', 'it is away in this test');
        return leases.giveBack(returns);
      },
    };
    const definition = stage(leasedReserve({ recipientHash: () => '' }), {
      // Read from ingest, as the chain hands it over.
      from: { deduped: { ...lane.deduped, name: this.source } },
      to: {
        reserved: lane.reserved,
        spends: lane.spends,
        refused: this.topics.refused,
        diverted: lane.again.deduped,
      },
      state: { leases: lane.leases },
      tables: { config: this.topics.config, accounts: this.topics.accounts },
    });
    return {
      name: 'budget-reserve',
      definition,
      ports: {
        reservations: postgresReservations(this.database, ownership),
        firstSeen: { release: () => Promise.resolve() },
        leases: counting,
      },
      inputs: inputsOf(definition),
      tables: { config: this.config, accounts: this.accounts },
      handovers: new Map(),
    };
  }

  private at(partition: number): Working {
    const one = this.partitions[partition];
    if (one === undefined) throw new Error(`no partition ${String(partition)}`);
    return one;
  }
}
