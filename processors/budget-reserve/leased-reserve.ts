import type { EpochMs } from '../../schemas/brand.js';
import type { TenantConfig } from '../../schemas/config.js';
import { isRetry } from '../../schemas/error.js';
import type { AccountLevel, MessageDeduped } from '../../schemas/generated/records.js';
import { freeKeys } from '../dedupe/free-keys.js';
import { expiryOf } from '../expiry.js';
import type {
  Caller,
  Contract,
  Decision,
  GatherView,
  GlobalTable,
  Incoming,
  Partition,
  View,
} from '../processor.js';
import type { RecipientHash } from '../recipient-hash.js';
import { NO_SETTLEMENT } from '../refusal.js';
import { DIVERT_RUN, reentryHeaders } from '../reentry/headers.js';
import { type BudgetReserve, type ReserveFact, budgetReserve, tariffOf } from './budget-reserve.js';
import { type LeasePlan, planLeases } from './lease-plan.js';
import {
  DIRECT_MS,
  IDLE_MS,
  type LeaseGrant,
  type LeaseHolder,
  type LeaseReturn,
  type LeaseState,
  type Leases,
  NO_LEASE,
  RECALL_EVERY_MS,
  SAY_AGAIN_MS,
  type Unsaid,
  givenUp,
  returnOf,
  withGrant,
} from './leases.js';
import { type Spend, type SpendBatch, leaseIdOf } from './spend.js';
import { type WorstCase, worstCase } from './worst-case.js';

export type LeasedFact =
  | { readonly kind: 'leased'; readonly worst: WorstCase; readonly grant: LeaseGrant | null }
  | { readonly kind: 'direct'; readonly fact: ReserveFact; readonly turns: boolean };

export interface LeasedReserve extends Contract {
  readonly from: BudgetReserve['from'];
  readonly to: BudgetReserve['to'] & {
    /** What the transaction spent of leases: settle books it. */
    readonly spends: SpendBatch;
    /** again.budget-reserve: its account recalls its leases, and may have enough once they are back. */
    readonly diverted: MessageDeduped;
  };
  /** By tenant/businessLine. */
  readonly state: { readonly leases: LeaseState };
  readonly tables: BudgetReserve['tables'] & { readonly accounts: AccountLevel };
  readonly ports: BudgetReserve['ports'] & { readonly leases: Leases };
  readonly fact: LeasedFact;
  readonly call: LeaseReturn;
  /** booked: false where Postgres did not answer. */
  readonly answer: { readonly call: LeaseReturn; readonly booked: boolean };
}

type Deduped = Incoming<LeasedReserve['from']>;
type Put = NonNullable<Decision<LeasedReserve>['put']>[number];

const accountOf = ({ tenantId, businessLine }: Pick<LeaseHolder, 'tenantId' | 'businessLine'>) =>
  `${tenantId}/${businessLine}`;

const putOf = (key: string, value: LeaseState): Put => ({ to: 'leases', key, value });

const leasedLines = new WeakMap<TenantConfig, ReadonlySet<string>>();

/** Quotas are held message by message. */
const leasedLinesOf = (tenant: TenantConfig): ReadonlySet<string> => {
  const known = leasedLines.get(tenant);
  if (known !== undefined) return known;
  const { businessLines, quotas = [] } = tenant;
  const hasQuotas =
    quotas.length > 0 || businessLines.some((line) => (line.quotas ?? []).length > 0);
  const leased = new Set(
    hasQuotas
      ? []
      : businessLines.filter(({ reserve }) => reserve !== 'direct').map(({ name }) => name),
  );
  leasedLines.set(tenant, leased);
  return leased;
};

const isRecalled = (accounts: GlobalTable<AccountLevel>, account: string): boolean => {
  const level = accounts.get(account);
  return level !== undefined && (level.recalling || !level.open);
};

interface Planned {
  readonly plan: LeasePlan;
  readonly worst: WorstCase;
}

/**
 * Reserves as budgetReserve does, of leases: what a partition may spend of an account without asking Postgres, in its own
 * state and in the transaction of the `reserved` record that names the spend. Where there is no lease, or it gives none,
 * each message is asked about directly. What an account recalls, and what nobody spends of, goes back.
 */
export const leasedReserve = (options: {
  readonly recipientHash: RecipientHash;
}): Caller<LeasedReserve> => {
  const direct = budgetReserve({ ...options, recalled: 'told' });
  /** Of one run of the chain: gather may be asked about parts of a batch again, and must not plan them twice. */
  const planned = new WeakMap<object, ReadonlyMap<Deduped, Planned>>();

  /** Accounts that a decision was made to spend of, by its view: where to look for what is still to be written. */
  const spending = new WeakMap<object, Set<string>>();
  const spenders = (view: View<LeasedReserve>): Set<string> => {
    const known = spending.get(view) ?? new Set<string>();
    spending.set(view, known);
    return known;
  };

  const plan = async (
    batch: readonly Deduped[],
    { leases }: LeasedReserve['ports'],
    view: GatherView<LeasedReserve>,
  ): Promise<ReadonlyMap<Deduped, Planned>> => {
    const known = planned.get(view);
    if (known !== undefined) return known;
    const { config, accounts } = view.tables;
    const tariff = tariffOf(config);
    const usable = leases.usable();
    const payable = batch.flatMap((record) => {
      const { request, generation } = record.value;
      const tenant = tariff.tenants.get(request.tenantId);
      if (generation > 0 || !usable || tenant === undefined) return [];
      if (!leasedLinesOf(tenant).has(request.businessLine)) return [];
      const worst = worstCase(request, tariff);
      if (worst.kind === 'refused') return [];
      const { tenantId, businessLine } = request;
      const account = accountOf({ tenantId, businessLine });
      const { cashMicros, units, currency } = worst;
      return [
        {
          record,
          worst,
          source: { topic: record.at.topic, partition: record.at.partition },
          tenantId,
          businessLine,
          currency,
          cashMicros,
          units,
          recalled: isRecalled(accounts, account),
          state: view.stateOf(record).leases.get(account),
        },
      ];
    });
    const plans = await planLeases(payable, leases, view.now);
    const byRecord = new Map(
      payable.flatMap(({ record, worst }, index) => {
        const one = plans[index];
        return one === undefined ? [] : [[record, { plan: one, worst }] as const];
      }),
    );
    planned.set(view, byRecord);
    return byRecord;
  };

  return {
    name: direct.name,
    takeOver: direct.takeOver,

    async gather(batch, ports, view) {
      const plans = await plan(batch, ports, view);
      const others = batch.filter((record) => plans.get(record)?.plan.kind !== 'leased');
      const facts =
        others.length === 0
          ? []
          : await direct.gather(others, ports, { ...view, stateOf: () => ({}) });
      let next = 0;
      return batch.map((record): LeasedFact => {
        const one = plans.get(record);
        if (one?.plan.kind === 'leased')
          return { kind: 'leased', worst: one.worst, grant: one.plan.grant };
        const fact = facts[next++];
        if (fact === undefined) throw new Error('a fact for every record');
        return { kind: 'direct', fact, turns: one?.plan.turns ?? false };
      });
    },

    decide(record, fact, view) {
      if (fact.kind === 'leased') {
        spenders(view).add(accountOf(record.value.request));
        return spent(record, fact, view);
      }
      const put = fact.turns ? turned(record.value, view) : [];
      if (fact.fact.kind === 'asked' && fact.fact.decision.kind === 'recalling')
        return { ...diverted(record, view.now), put };
      return { ...direct.decide(record, fact.fact, plain(view)), put };
    },

    failed: (record, error, view, fact) =>
      fact?.kind === 'leased'
        ? // Its spend was staged with its decision, which is not.
          direct.failed(record, error, plain(view), {
            kind: 'refused',
            refusal: { reason: 'internal', detail: '', settlement: NO_SETTLEMENT },
          })
        : direct.failed(record, error, plain(view), fact?.fact ?? null),

    gatherFailed: async (record, ports) => ({
      kind: 'direct',
      fact: await direct.gatherFailed(record, ports),
      turns: false,
    }),

    flush: (view) => said(spenders(view), view),
    tick: (view) =>
      returns(
        view,
        ({ returning }, now) => returning !== null && now - returning.saidAt >= SAY_AGAIN_MS,
      ),
    restored: (view) => returns(view, ({ returning }) => returning !== null),

    async *perform(calls, { leases }) {
      let booked = true;
      try {
        await leases.giveBack(calls);
      } catch (thrown) {
        if (!isRetry(thrown)) throw thrown;
        booked = false;
      }
      for (const call of calls) yield { call, booked };
    },

    answered({ call, booked }, { state }) {
      const account = accountOf(call);
      const held = state.leases.get(account);
      if (!booked || held?.returning == null || held.returnNo !== call.returnNo) return {};
      return { put: [putOf(account, { ...held, returning: null })] };
    },

    committed: (decisions, { firstSeen }) =>
      freeKeys(
        decisions.flatMap(({ emit = [] }) =>
          emit.flatMap((one) => (one.to === 'refused' ? [one.value] : [])),
        ),
        firstSeen,
      ),

    metrics: {
      leased: ({ emit = [] }) =>
        emit.filter((one) => one.to === 'reserved' && one.value.leaseId !== null).length,
      diverted: ({ emit = [] }) => emit.filter(({ to }) => to === 'diverted').length,
    },
  };
};

const plain = ({ now, tables }: View<LeasedReserve>): View<BudgetReserve> => ({
  now,
  tables,
  state: {},
});

const spent = (
  { value: deduped, at }: Deduped,
  { worst, grant }: Extract<LeasedFact, { readonly kind: 'leased' }>,
  { now, state }: View<LeasedReserve>,
): Decision<LeasedReserve> => {
  const { request, generation, key } = deduped;
  const account = accountOf(request);
  const before = state.leases.get(account) ?? NO_LEASE;
  const held = grant === null ? before : withGrant(before, grant, now);
  const { cashMicros, units, currency, candidates } = worst;
  if (held.lease === null || held.cashMicros < cashMicros || held.units < units)
    throw new Error('a lease is never spent beyond what is left of it');
  const id = { lease: held.lease, number: held.spends + 1 };
  const spend: Spend = {
    lease: id.lease,
    number: id.number,
    tenantId: request.tenantId,
    messageId: request.messageId,
    generation,
    createdAt: request.createdAt,
    expiresAt: expiryOf(request),
    cashMicros,
    units,
    cashCapMicros: request.maxCostMicros,
    unitsCap: request.units,
    offset: at.offset,
  };
  // Field by field: a spread here is measurable.
  const next: LeaseState = {
    lease: held.lease,
    grantNo: held.grantNo,
    returnNo: held.returnNo,
    spends: id.number,
    cashMicros: held.cashMicros - cashMicros,
    units: held.units - units,
    granted: held.granted,
    spentAt: now,
    directUntil: held.directUntil,
    returning: held.returning,
    returnedAt: held.returnedAt,
    unsaid: { spend, before: held.unsaid },
  };
  return {
    put: [putOf(account, next)],
    emit: [
      {
        to: 'reserved',
        key,
        value: {
          deduped,
          cashMicros,
          units,
          currency,
          leaseId: leaseIdOf(id),
          candidates,
          reservedAt: now,
        },
      },
    ],
  };
};

/** One record, or a few, for all that the transaction spent: settle reads hundreds at once. */
const SPENDS_A_RECORD = 1_000;

/** What is in the state, so what was decided and not buried, is written with it. */
const said = (
  accounts: ReadonlySet<string>,
  { state, source }: View<LeasedReserve>,
): Decision<LeasedReserve> => {
  const put: Put[] = [];
  const spends: Spend[] = [];
  for (const account of accounts) {
    const held = state.leases.get(account);
    if (held?.unsaid == null) continue;
    const own: Spend[] = [];
    for (let one: Unsaid | null = held.unsaid; one !== null; one = one.before) own.push(one.spend);
    spends.push(...own.reverse());
    put.push(putOf(account, { ...held, unsaid: null }));
  }
  if (source === undefined || spends.length === 0) return {};
  const emit: { to: 'spends'; key: string; partition: number; value: SpendBatch }[] = [];
  for (let from = 0; from < spends.length; from += SPENDS_A_RECORD)
    emit.push({
      to: 'spends',
      key: source.topic,
      partition: source.partition,
      value: { source, spends: spends.slice(from, from + SPENDS_A_RECORD) },
    });
  return { emit, put };
};

/** The account gave no lease: it is not asked for one for a while. */
const turned = ({ request }: MessageDeduped, { now, state }: View<LeasedReserve>): Put[] => {
  const account = accountOf(request);
  const held = state.leases.get(account) ?? NO_LEASE;
  return held.directUntil > now ? [] : [putOf(account, { ...held, directUntil: now + DIRECT_MS })];
};

/** Where it is let in again it is asked about until its account has what leases held; by then it has, or is refused. */
const diverted = ({ value, at }: Deduped, now: EpochMs): Decision<LeasedReserve> => ({
  emit: [
    {
      to: 'diverted',
      key: value.key,
      value,
      headers: reentryHeaders({
        runId: DIVERT_RUN,
        startedAt: now,
        reason: 'its account recalls its leases',
        generation: value.generation,
        releaseNo: 0,
        origin: at,
      }),
    },
  ],
});

/** What goes back: of accounts that recall it, of leases that nobody spends of; and what was not answered. */
const returns = (
  view: View<LeasedReserve>,
  sayAgain: (state: LeaseState, now: EpochMs) => boolean,
): Decision<LeasedReserve> => {
  const { now, state, tables, source } = view;
  if (source === undefined) throw new Error('leases belong to a partition');
  const put: Put[] = [];
  const call: LeaseReturn[] = [];
  const giveUp = (account: string, held: LeaseState): void => {
    const given = givenUp(held, holderOf(source, account), now);
    put.push(putOf(account, given.state));
    call.push(given.call);
  };
  // While Postgres does not answer, what is left is worth more here.
  let unanswered = false;
  for (const [, { returning, returnedAt }] of state.leases.entries())
    unanswered ||= returning !== null && returnedAt < now - SAY_AGAIN_MS;
  for (const [account, held] of state.leases.entries()) {
    if (held.returning !== null) {
      if (!sayAgain(held, now)) continue;
      const again = { ...held, returning: { ...held.returning, saidAt: now } };
      put.push(putOf(account, again));
      call.push(returnOf(again, holderOf(source, account)));
    } else if (
      !unanswered &&
      (held.cashMicros > 0n || held.units > 0) &&
      held.spentAt < now - IDLE_MS
    )
      giveUp(account, held);
  }
  for (const [account, { recalling, open, at }] of tables.accounts.entries()) {
    if (!recalling && open) continue;
    const held = state.leases.get(account) ?? NO_LEASE;
    if (held.returning !== null) continue;
    const empty = held.cashMicros === 0n && held.units === 0;
    // A grant that never came into the state may be open, too: said now and then, not once.
    if (empty && held.returnedAt > (recalling ? now - RECALL_EVERY_MS : at)) continue;
    giveUp(account, held);
  }
  return { put, call };
};

const holderOf = (source: Partition, account: string): Omit<LeaseHolder, 'lease'> => {
  const cut = account.indexOf('/');
  return {
    ...source,
    tenantId: account.slice(0, cut) as LeaseHolder['tenantId'],
    businessLine: account.slice(cut + 1),
  };
};
