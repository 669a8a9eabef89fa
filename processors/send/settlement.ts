import type { MessageRouted, Settlement } from '../../schemas/generated/records.js';

/** Nothing happens to the reservation. */
export const noSettlement = ({ reserved }: MessageRouted): Settlement => ({
  kind: 'none',
  cashMicros: 0n,
  units: 0,
  currency: reserved.currency,
  leaseId: reserved.leaseId,
});

/** The route's price is spent, the rest of the reservation returns. */
export const postRoute = ({ reserved, priceMicros, units }: MessageRouted): Settlement => ({
  kind: 'post',
  cashMicros: priceMicros,
  units,
  currency: reserved.currency,
  leaseId: reserved.leaseId,
});

/** The whole reservation returns: the amounts RESERVED, not the route's. */
export const voidReserved = ({ reserved }: MessageRouted): Settlement => ({
  kind: 'void',
  cashMicros: reserved.cashMicros,
  units: reserved.units,
  currency: reserved.currency,
  leaseId: reserved.leaseId,
});
