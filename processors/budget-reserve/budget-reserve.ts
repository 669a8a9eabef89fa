import type {
  BudgetReserved,
  ConfigEntry,
  MessageDeduped,
  MessageRefused,
  Settlement,
} from '../../schemas/generated/records.js';
import { channelsOf, policyOf, templatesOf, tenantsOf } from '../configuration.js';
import type { ConfigTable } from '../configuration.js';
import { freeKeys } from '../dedupe/free-keys.js';
import type { KeyRelease } from '../dedupe/free-keys.js';
import type { Payer } from '../dedupe/own-reservations.js';
import { holders } from '../dedupe/own-reservations.js';
import { expiryOf } from '../expiry.js';
import type { Contract, Decision, Incoming, Processor } from '../processor.js';
import { PipelineError } from '../../schemas/error.js';
import type { RecipientHash } from '../recipient-hash.js';
import type { Refusal } from '../refusal.js';
import { NO_SETTLEMENT, VOID_WHATEVER, refused } from '../refusal.js';
import type { ReservationDecision, ReservationRequest, Reservations } from './reservations.js';
import { worstCase } from './worst-case.js';
import type { Tariff, WorstCase } from './worst-case.js';

/** What is known of a record before it is decided. */
export type ReserveFact =
  /** Nothing to ask the ledger for. */
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  | {
      readonly kind: 'asked';
      readonly worst: WorstCase;
      readonly decision: ReservationDecision;
      /** Candidates that had quota and that the reserved amounts pay for: fewer, where prices rose since it was reserved. */
      readonly candidates: readonly string[];
    };

export interface BudgetReserve extends Contract {
  readonly from: { readonly deduped: MessageDeduped };
  readonly to: { readonly reserved: BudgetReserved; readonly refused: MessageRefused };
  readonly tables: { readonly config: ConfigEntry };
  readonly ports: { readonly reservations: Reservations; readonly firstSeen: KeyRelease };
  readonly fact: ReserveFact;
}

type Deduped = Incoming<BudgetReserve['from']>;

export const tariffOf = (config: ConfigTable): Tariff => ({
  tenants: tenantsOf(config),
  templates: templatesOf(config),
  channels: channelsOf(config),
  policy: policyOf(config),
});

const asked = ({ value: { request, generation }, at }: Deduped, worst: WorstCase) =>
  ({
    tenantId: request.tenantId,
    businessLine: request.businessLine,
    messageId: request.messageId,
    generation,
    createdAt: request.createdAt,
    expiresAt: expiryOf(request),
    at,
    cashMicros: worst.cashMicros,
    units: worst.units,
    currency: worst.currency,
    unitsCap: request.units,
    cashCapMicros: request.maxCostMicros,
    candidates: worst.costs,
  }) satisfies ReservationRequest;

const payerOf = ({ value: { request, generation }, at }: Deduped): Payer => ({
  ...request,
  generation,
  at,
});

/**
 * The decision is the ledger's and is stored before Kafka's commit, so a record that is read again finds its own
 * amounts, even if prices changed in between: candidates are then only those which these amounts still pay for.
 */
const factOf = (
  record: Deduped,
  worst: WorstCase,
  decision: ReservationDecision,
  tariff: Tariff,
) => {
  if (decision.kind !== 'reserved')
    return { kind: 'asked', worst, decision, candidates: [] } as const;
  const asNow = decision.cashMicros >= worst.cashMicros && decision.units >= worst.units;
  const paid = asNow ? worst.candidates : stillPaidFor(record, decision, tariff);
  const { channels } = decision;
  const candidates =
    channels === undefined ? paid : paid.filter((channel) => channels.includes(channel));
  return { kind: 'asked', worst, decision, candidates } as const;
};

const stillPaidFor = (
  { value: { request } }: Deduped,
  { cashMicros, units }: { readonly cashMicros: bigint; readonly units: number },
  tariff: Tariff,
): readonly string[] => {
  const again = worstCase({ ...request, units, maxCostMicros: cashMicros }, tariff);
  return again.kind === 'priced' ? again.candidates : [];
};

/** Reserves the most each message can cost, in cash and in PV together or neither. */
export const budgetReserve = ({
  recipientHash,
  recalled = 'waited_for',
}: {
  readonly recipientHash: RecipientHash;
  /** What leases of an account hold may be enough: its records wait for it, or whoever decides is told. */
  readonly recalled?: 'waited_for' | 'told';
}) =>
  ({
    name: 'budget-reserve',

    async gather(batch, { reservations }, { tables }) {
      const tariff = tariffOf(tables.config);
      const pricings = batch.map(({ value }) => worstCase(value.request, tariff));
      const requests = batch.flatMap((record, index) => {
        const pricing = pricings[index];
        return pricing?.kind === 'priced' ? [asked(record, pricing)] : [];
      });
      const decisions = requests.length === 0 ? [] : await reservations.reserve(requests);
      if (recalled === 'waited_for' && decisions.some(({ kind }) => kind === 'recalling'))
        throw new PipelineError(
          'leases_recalled',
          'an account has too little, but leases hold some of it: waiting until they are returned',
        );
      // Priced and paid for before its transaction was aborted, and priced no more since the configuration changed.
      const unpriced = batch.filter((_, index) => pricings[index]?.kind === 'refused');
      const paid = await holders(reservations, unpriced, payerOf);
      let next = 0;
      return batch.map((record, index): ReserveFact => {
        const pricing = pricings[index];
        if (pricing === undefined) return defect();
        if (pricing.kind === 'refused')
          return paid.has(record)
            ? { kind: 'refused', refusal: { ...pricing.refusal, settlement: VOID_WHATEVER } }
            : pricing;
        return factOf(record, pricing, decisions[next++] ?? defect(), tariff);
      });
    },

    takeOver: (partitions, { reservations }) => reservations.takeOver(partitions),

    decide({ value: deduped, at }, fact, { now }): Decision<BudgetReserve> {
      const { request, generation, key } = deduped;
      const refuse = (refusal: Refusal): Decision<BudgetReserve> => {
        const value = refused({ request, generation, at }, refusal, recipientHash, now);
        return { emit: [{ to: 'refused', key, value }], forget: value.retryable };
      };
      if (fact.kind === 'refused') return refuse(fact.refusal);
      const { decision, worst, candidates } = fact;
      if (decision.kind === 'recalling') throw new Error('waited for, or told');
      if (decision.kind !== 'reserved')
        return refuse(refusalOf(decision, request.messageId, worst));
      const { cashMicros, units } = decision;
      const { currency } = worst;
      if (candidates.length === 0)
        return refuse({
          reason: 'no_channel',
          field: 'channels',
          detail: 'since it was reserved, its channels left the configuration or rose in price',
          settlement: { kind: 'void', cashMicros, units, currency, leaseId: null },
        });
      return {
        emit: [
          {
            to: 'reserved',
            key,
            value: {
              deduped,
              cashMicros,
              units,
              currency,
              leaseId: null,
              candidates,
              reservedAt: now,
            },
          },
        ],
      };
    },

    /** The ledger may have been asked before something threw, now or before an abort. */
    async gatherFailed(record, { reservations }) {
      const holds = (await holders(reservations, [record], payerOf)).has(record);
      return { kind: 'refused', refusal: defectRefusal(holds ? VOID_WHATEVER : NO_SETTLEMENT) };
    },

    failed({ value: { request, generation, key }, at }, _error, { now }, fact) {
      const refusal = defectRefusal(fact === null ? NO_SETTLEMENT : ownMoney(fact));
      return {
        emit: [
          {
            to: 'refused',
            key,
            value: refused({ request, generation, at }, refusal, recipientHash, now),
          },
        ],
      };
    },

    committed: (decisions, { firstSeen }) =>
      freeKeys(
        decisions.flatMap(({ emit = [] }) =>
          emit.flatMap((one) => (one.to === 'refused' ? [one.value] : [])),
        ),
        firstSeen,
      ),
  }) satisfies Processor<BudgetReserve>;

const defectRefusal = (settlement: Settlement): Refusal => ({
  reason: 'internal',
  detail: 'a defect of ours in budget-reserve',
  settlement,
});

/** What goes back with a record that is given up: what it reserved itself, never what another of the message did. */
const ownMoney = (fact: ReserveFact): Settlement => {
  switch (fact.kind) {
    case 'refused':
      return fact.refusal.settlement ?? NO_SETTLEMENT;
    case 'asked':
      return fact.decision.kind === 'reserved' ? VOID_WHATEVER : NO_SETTLEMENT;
  }
};

const defect = (): never => {
  throw new Error('the ledger answered fewer requests than it was asked');
};

const refusalOf = (
  decision: Exclude<ReservationDecision, { kind: 'reserved' } | { kind: 'recalling' }>,
  messageId: MessageDeduped['request']['messageId'],
  { cashMicros, units, currency }: WorstCase,
): Refusal => {
  switch (decision.kind) {
    case 'duplicate':
      return {
        reason: 'duplicate',
        detail: 'another record already reserved budget for this messageId',
        first: { messageId, at: decision.firstAt },
      };
    case 'idempotency_conflict':
      return {
        reason: 'idempotency_conflict',
        detail: 'this messageId was accepted with another business line or other caps',
        first: { messageId, at: decision.firstAt },
      };
    case 'unknown_account':
      return {
        reason: 'invalid',
        field: 'businessLine',
        detail: 'this tenant has no account for the business line',
      };
    case 'account_closed':
      return { reason: 'account_closed', field: 'businessLine', detail: 'the account is closed' };
    case 'currency':
      return {
        reason: 'currency',
        field: 'currency',
        detail: `the account is kept in another currency than ${currency}`,
      };
    case 'budget_cash':
      return {
        reason: 'budget_cash',
        detail: `less cash is available than the ${cashMicros.toString()} micros it may cost`,
      };
    case 'budget_pv':
      return {
        reason: 'budget_pv',
        detail: `fewer PV units are available than the ${units} asked`,
      };
    case 'quota':
      return {
        reason: 'quota',
        field: 'channels',
        detail: "no allowed channel has quota left in the period of createdAt's day",
      };
    case 'too_old':
      return {
        reason: 'expired',
        field: 'createdAt',
        detail: "the ledger no longer holds createdAt's day",
      };
  }
};
