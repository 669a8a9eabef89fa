import type { Leases } from '../../processors/budget-reserve/leases.js';

/** A ledger that is asked message by message. */
export const NO_LEASES: Leases = {
  usable: () => false,
  grant: () => {
    throw new Error('no lease is used');
  },
  giveBack: () => {
    throw new Error('no lease was given');
  },
};
