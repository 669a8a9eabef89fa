import type { EpochMs } from '../../schemas/brand.js';
import type {
  BreakerLevel,
  BudgetReserved,
  ConfigEntry,
  MessageRefused,
  MessageRouted,
} from '../../schemas/generated/records.js';
import { channelsOf, policyOf, templatesOf } from '../configuration.js';
import { freeKeys } from '../dedupe/free-keys.js';
import type { KeyRelease } from '../dedupe/free-keys.js';
import { laneOf } from '../lane.js';
import type { Contract, Decision, Processor } from '../processor.js';
import { expiryOf } from '../expiry.js';
import type { RecipientHash } from '../recipient-hash.js';
import type { Refusal } from '../refusal.js';
import { refused } from '../refusal.js';
import { preferred, routes } from './policy.js';

export interface Route extends Contract {
  readonly from: { readonly reserved: BudgetReserved };
  readonly to: { readonly routed: MessageRouted; readonly refused: MessageRefused };
  readonly tables: { readonly config: ConfigEntry; readonly levels: BreakerLevel };
  readonly ports: { readonly firstSeen: KeyRelease };
}

/**
 * Chooses channel and provider among the candidates that are paid for. From here on money is reserved, so every
 * refusal voids it.
 */
export const route = ({
  recipientHash,
}: {
  readonly recipientHash: RecipientHash;
}): Processor<Route> => {
  const refusing = (
    reserved: BudgetReserved,
    at: MessageRefused['source'],
    refusal: Refusal,
    now: EpochMs,
  ): Decision<Route> => {
    const { deduped, cashMicros, units, currency, leaseId } = reserved;
    const settlement = { kind: 'void', cashMicros, units, currency, leaseId } as const;
    const source = { request: deduped.request, generation: deduped.generation, at };
    const value = refused(source, { ...refusal, settlement }, recipientHash, now);
    return { emit: [{ to: 'refused', key: deduped.key, value }], forget: value.retryable };
  };

  return {
    name: 'route',
    gather: null,

    decide({ value: reserved, at }, _fact, { now, tables }) {
      const { request, key } = reserved.deduped;
      const expiresAt = expiryOf(request);
      if (expiresAt <= now)
        return refusing(reserved, at, { reason: 'expired', detail: 'its time has passed' }, now);
      const template = templatesOf(tables.config).get(request.templateId);
      if (template === undefined) return refusing(reserved, at, UNKNOWN_TEMPLATE, now);
      const order = preferred(
        reserved.candidates,
        request,
        laneOf(at.topic),
        policyOf(tables.config),
      );
      const { units } = template;
      const [best, ...others] = routes(
        order,
        units,
        reserved,
        channelsOf(tables.config),
        tables.levels,
      );
      if (best === undefined) return refusing(reserved, at, NOTHING_LEFT, now);
      const routed: MessageRouted = {
        reserved,
        channel: best.channel,
        provider: best.provider,
        priceMicros: best.priceMicros,
        units,
        attempt: 1,
        routeAttempt: 1,
        ambiguous: false,
        diversions: 0,
        alternatives: others.map(({ channel, provider }) => `${channel}/${provider}`),
        expiresAt,
        dueAt: null,
        routedAt: now,
      };
      return { emit: [{ to: 'routed', key, value: routed }] };
    },

    failed: ({ value, at }, _error, { now }) =>
      refusing(value, at, { reason: 'internal', detail: 'a defect of ours in route' }, now),

    committed: (decisions, { firstSeen }) =>
      freeKeys(
        decisions.flatMap(({ emit = [] }) =>
          emit.flatMap((one) => (one.to === 'refused' ? [one.value] : [])),
        ),
        firstSeen,
      ),
  };
};

const UNKNOWN_TEMPLATE: Refusal = {
  reason: 'unknown_template',
  field: 'templateId',
  detail: 'the template is no longer configured',
};

const NOTHING_LEFT: Refusal = {
  reason: 'no_channel',
  field: 'channels',
  detail: 'since it was reserved, every candidate left the configuration or rose in price',
};
