import type { Micros } from '../../schemas/brand.js';
import type { ChannelConfig, PolicyConfig } from '../../schemas/config.js';
import type { BreakerLevel, Lane, MessageRequest } from '../../schemas/generated/records.js';
import { priceOf } from '../budget-reserve/worst-case.js';
import type { GlobalTable } from '../processor.js';

/** One way to deliver a message, and what acceptance costs on it. */
export interface Route {
  readonly channel: string;
  readonly provider: string;
  readonly priceMicros: Micros;
}

type Rule = PolicyConfig['rules'][number];

const applies = ({ when }: Rule, request: MessageRequest, lane: Lane, policy: PolicyConfig) => {
  const { tier } = request.recipient;
  const highValue = tier !== null && policy.highValueTiers.includes(tier);
  return (
    (when.attribute?.includes(request.attribute) ?? true) &&
    (when.highValue === undefined || when.highValue === highValue) &&
    (when.lane?.includes(lane) ?? true)
  );
};

/**
 * Candidates in today's order: what the first matching rule prefers, then the rest as the request prefers them.
 * Policy orders; it never adds a channel that was not allowed, addressable and paid for.
 */
export const preferred = (
  candidates: readonly string[],
  request: MessageRequest,
  lane: Lane,
  policy: PolicyConfig,
): readonly string[] => {
  const rule = policy.rules.find((one) => applies(one, request, lane, policy));
  if (rule === undefined) return candidates;
  const first = rule.channels.filter((channel) => candidates.includes(channel));
  return [...first, ...candidates.filter((channel) => !first.includes(channel))];
};

/** What of the reservation bounds a route. */
export interface Means {
  readonly cashMicros: Micros;
  readonly units: number;
  readonly currency: string;
}

/**
 * Every provider of these channels that the reservation pays for, in order; those which the breaker says to avoid
 * go last, in the same order. Avoiding prefers others and never forbids: with nothing else left they are taken.
 */
export const routes = (
  order: readonly string[],
  units: number,
  means: Means,
  channels: ReadonlyMap<string, ChannelConfig>,
  levels: GlobalTable<BreakerLevel>,
): readonly Route[] => {
  if (units > means.units) return [];
  const good: Route[] = [];
  const avoided: Route[] = [];
  for (const channel of order)
    for (const provider of channels.get(channel)?.providers ?? []) {
      const priceMicros = priceOf(provider) * BigInt(units);
      if (provider.currency !== means.currency || priceMicros > means.cashMicros) continue;
      const level = levels.get(`channel/${channel}/${provider.name}`);
      const list = level?.avoid === true ? avoided : good;
      list.push({ channel, provider: provider.name, priceMicros });
    }
  return avoided.length === 0 ? good : [...good, ...avoided];
};
