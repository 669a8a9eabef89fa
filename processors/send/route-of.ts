import { microsOf } from '../../schemas/config.js';
import type { ChannelConfig, ProviderConfig } from '../../schemas/config.js';
import type { BreakerLevel, MessageRouted } from '../../schemas/generated/records.js';
import type { GlobalTable } from '../processor.js';

type Channels = ReadonlyMap<string, ChannelConfig>;
type Levels = GlobalTable<BreakerLevel>;

/** A record with its provider as configured now. */
export interface UsableRoute {
  readonly routed: MessageRouted;
  readonly provider: ProviderConfig;
}

const providerOf = (
  channels: Channels,
  channel: string,
  provider: string,
): ProviderConfig | undefined =>
  channels.get(channel)?.providers.find(({ name }) => name === provider);

const levelOf = (levels: Levels, channel: string, provider: string): BreakerLevel | undefined =>
  levels.get(`channel/${channel}/${provider}`);

/** The breaker's share of a provider's rate, 0 < x <= 1. */
export const rateFactorOf = (levels: Levels, { channel, provider }: MessageRouted): number =>
  levelOf(levels, channel, provider)?.rateFactor ?? 1;

/**
 * The next of the record's alternatives that is configured and that its reservation can pay, preferably one that the
 * breaker does not say to avoid (avoiding never forbids). Its attempt is unchanged, its tries begin at 1.
 */
export const nextRoute = (
  routed: MessageRouted,
  channels: Channels,
  levels: Levels,
): UsableRoute | null => {
  const usable = routed.alternatives.flatMap((alternative) => {
    const [channel = '', name = ''] = alternative.split('/');
    const provider = providerOf(channels, channel, name);
    if (provider === undefined || provider.currency !== routed.reserved.currency) return [];
    const priceMicros = microsOf(provider.price) * BigInt(routed.units);
    if (priceMicros > routed.reserved.cashMicros) return [];
    return [{ alternative, channel, provider, priceMicros }];
  });
  const chosen =
    usable.find(
      ({ channel, provider }) => levelOf(levels, channel, provider.name)?.avoid !== true,
    ) ?? usable[0];
  if (chosen === undefined) return null;
  return {
    provider: chosen.provider,
    routed: {
      ...routed,
      channel: chosen.channel,
      provider: chosen.provider.name,
      priceMicros: chosen.priceMicros,
      routeAttempt: 1,
      alternatives: routed.alternatives.filter((other) => other !== chosen.alternative),
    },
  };
};

/**
 * The record's own route, or the next one where configuration no longer has it; never the next one where a try of its
 * own was ambiguous.
 */
export const routeOf = (
  routed: MessageRouted,
  channels: Channels,
  levels: Levels,
): UsableRoute | null => {
  const provider = providerOf(channels, routed.channel, routed.provider);
  if (provider !== undefined) return { routed, provider };
  return routed.ambiguous ? null : nextRoute(routed, channels, levels);
};
