import type { Tariff } from '../../processors/budget-reserve/worst-case.js';
import { worstCase } from '../../processors/budget-reserve/worst-case.js';
import type { Lane, MessageRequest } from '../../schemas/generated/records.js';

/** One message that would come back. */
export interface Counted {
  readonly request: MessageRequest;
  readonly lane: Lane;
  /** Where it is decided already; else the request's first, or the policy's. */
  readonly channel: string;
  /** It holds its money: nothing is reserved for it. */
  readonly paid: boolean;
}

/** What a dry run says of the messages that would go on. */
export interface Census {
  readonly tenants: Readonly<Record<string, number>>;
  readonly channels: Readonly<Record<string, number>>;
  readonly lanes: Readonly<Record<string, number>>;
  /** createdAt, milliseconds since the epoch; null: there is none. */
  readonly oldest: number | null;
  readonly newest: number | null;
  /** At most, at today's prices: what would be reserved, by currency, in micros. */
  readonly cashMicros: Readonly<Record<string, bigint>>;
  readonly units: number;
  /** Would be refused by budget as they stand (no channel left, a tenant that is gone): they cost nothing. */
  readonly unpriced: number;
}

/** Counts messages one by one. */
export class Count {
  private readonly tenants: Record<string, number> = {};
  private readonly channels: Record<string, number> = {};
  private readonly lanes: Record<string, number> = {};
  private readonly cashMicros: Record<string, bigint> = {};
  private oldest = Infinity;
  private newest = -Infinity;
  private units = 0;
  private unpriced = 0;
  private readonly tariff: Tariff;

  constructor(tariff: Tariff) {
    this.tariff = tariff;
  }

  add({ request, lane, channel, paid }: Counted): void {
    this.tenants[request.tenantId] = (this.tenants[request.tenantId] ?? 0) + 1;
    this.channels[channel] = (this.channels[channel] ?? 0) + 1;
    this.lanes[lane] = (this.lanes[lane] ?? 0) + 1;
    this.oldest = Math.min(this.oldest, request.createdAt);
    this.newest = Math.max(this.newest, request.createdAt);
    if (paid) return;
    const price = worstCase(request, this.tariff);
    if (price.kind === 'refused') {
      this.unpriced += 1;
      return;
    }
    const { currency, cashMicros, units } = price;
    this.cashMicros[currency] = (this.cashMicros[currency] ?? 0n) + cashMicros;
    this.units += units;
  }

  get sum(): Census {
    const { tenants, channels, lanes, cashMicros, units, unpriced } = this;
    return {
      tenants,
      channels,
      lanes,
      cashMicros,
      units,
      unpriced,
      oldest: Number.isFinite(this.oldest) ? this.oldest : null,
      newest: Number.isFinite(this.newest) ? this.newest : null,
    };
  }
}
