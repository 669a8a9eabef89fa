import type { ChannelWindow } from '../../schemas/generated/records.js';

type Named = Pick<ChannelWindow, 'channel' | 'provider' | 'windowStart' | 'windowMs' | 'closedAt'>;

/** A provider's window of lane p1, in which so many of the attempts failed at the provider. */
export const closedWindow = (
  named: Named,
  attempts: number,
  failedProvider: number,
): ChannelWindow => ({
  ...named,
  series: 'channel',
  lane: 'p1',
  tenantId: null,
  revision: 0,
  complete: true,
  attempts,
  messages: attempts,
  accepted: attempts - failedProvider,
  delivered: 0,
  failedRecipient: 0,
  failedContent: 0,
  failedAccount: 0,
  failedProvider,
  throttled: 0,
  timeout: 0,
  unknown: 0,
  reversed: 0,
  costMicros: 0n,
  units: 0,
  errorRate: failedProvider / attempts,
  latencyP50Ms: 1,
  latencyP95Ms: 1,
  latencyP99Ms: 1,
  latencyMaxMs: 1,
  queueAgeP99Ms: 1,
});
