import type { TenantId } from '../../schemas/brand.js';
import { tenantId as asTenant } from '../../schemas/brand.js';
import type { DeliveryFeedback, Lane, WindowSeries } from '../../schemas/generated/records.js';

/** channel × provider × lane, or tenant × channel: what is counted together. */
export interface Series {
  readonly series: WindowSeries;
  readonly channel: string;
  readonly provider: string | null;
  readonly lane: Lane | null;
  readonly tenantId: TenantId | null;
}

/** Tenants beyond the cap. No tenant may be called so. */
export const OTHER_TENANTS = asTenant('other');

/**
 * The Kafka key of a series' partials and windows. All lanes of a channel × provider share one, which is also the
 * breaker's scope: they meet in one merger, close in one transaction, and reach one breaker.
 */
export const partitionKey = ({ series, channel, provider, tenantId }: Series): string =>
  series === 'channel'
    ? `channel/${channel}/${provider ?? ''}`
    : `tenant/${tenantId ?? ''}/${channel}`;

/** Unique among series. Names have no slash (schemas/config.ts). */
export const seriesKey = (series: Series): string =>
  series.lane === null ? partitionKey(series) : `${partitionKey(series)}/${series.lane}`;

/** Unique among windows of all series; lengths differ after a change of configuration and are never summed. */
export const windowKey = (windowStart: number, windowMs: number, seriesName: string): string =>
  `${windowStart}/${windowMs}/${seriesName}`;

/** A series with the store key of the window that it was last asked about. */
class Interned {
  readonly of: Series;
  private readonly name: string;
  private windowStart = -1;
  private windowMs = -1;
  private key = '';

  constructor(of: Series) {
    this.of = of;
    this.name = seriesKey(of);
  }

  /** Building the text costs more than all else of a record, and nearly all records ask for the same window. */
  windowKey(windowStart: number, windowMs: number): string {
    if (windowStart !== this.windowStart || windowMs !== this.windowMs) {
      this.windowStart = windowStart;
      this.windowMs = windowMs;
      this.key = windowKey(windowStart, windowMs, this.name);
    }
    return this.key;
  }
}

const at = <K, V>(map: Map<K, V>, key: K, make: () => V): V => {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
};

/** The series of a feedback; bounded by channels × providers × lanes and tenants × channels. */
export class SeriesIndex {
  private readonly channels = new Map<string, Map<string, Map<Lane, Interned>>>();
  private readonly tenants = new Map<string, Map<string, Interned>>();

  channel({ channel, provider, lane }: DeliveryFeedback): Interned {
    const providers = at(this.channels, channel, () => new Map<string, Map<Lane, Interned>>());
    const lanes = at(providers, provider, () => new Map<Lane, Interned>());
    return at(
      lanes,
      lane,
      () => new Interned({ series: 'channel', channel, provider, lane, tenantId: null }),
    );
  }

  /** `own`: tenants with a series of their own. */
  tenant({ tenantId, channel }: DeliveryFeedback, own: ReadonlySet<string>): Interned {
    const tenant = own.has(tenantId) ? tenantId : OTHER_TENANTS;
    const channels = at(this.tenants, tenant, () => new Map<string, Interned>());
    return at(
      channels,
      channel,
      () =>
        new Interned({ series: 'tenant', channel, provider: null, lane: null, tenantId: tenant }),
    );
  }
}
