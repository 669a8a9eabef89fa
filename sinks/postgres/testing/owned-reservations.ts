import { partitionOwnership } from '../partition-ownership.js';
import type { Database } from '../pool.js';
import { postgresReservations } from '../reservations.js';

type Reservations = ReturnType<typeof postgresReservations>;

/** Of who owns every partition that it is asked about: for tests that are not about ownership. */
export const ownedReservations = (database: Database): Reservations => {
  const reservations = postgresReservations(database, partitionOwnership(database));
  const owned = new Map<string, Promise<void>>();
  return {
    ...reservations,
    async reserve(batch) {
      for (const { at } of batch) {
        const name = `${at.topic}/${at.partition.toString()}`;
        if (!owned.has(name)) owned.set(name, reservations.takeOver([at]));
      }
      await Promise.all(owned.values());
      return reservations.reserve(batch);
    },
  };
};
