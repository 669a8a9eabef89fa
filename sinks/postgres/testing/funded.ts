import type { Database } from '../pool.js';
import type { Grant } from '../transfers.js';
import { postgresTransfers } from '../transfers.js';

/** Opens an account where there is none, and grants it. */
export const funded = async (
  database: Database,
  grant: Grant & { readonly currency: string },
): Promise<void> => {
  const transfers = postgresTransfers(database);
  await transfers.openAccount(grant, grant.currency);
  const { kind } = await transfers.grant(grant);
  if (kind !== 'booked') throw new Error(`granted: ${kind}`);
};
