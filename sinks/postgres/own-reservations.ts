import type { EpochMs } from '../../schemas/brand.js';
import type { Coordinates } from '../../schemas/record.js';
import { numberArray, plainArray, textArray } from './array-literal.js';
import { dayOf } from './days.js';
import type { Database } from './pool.js';
import { sqlQuery } from './sql-files.js';

/** As processors/dedupe/own-reservations.ts asks. */
interface Asked {
  readonly tenantId: string;
  readonly messageId: string;
  readonly generation: number;
  readonly createdAt: EpochMs;
  readonly at: Coordinates;
}

/** Which records hold their message's reservation: asked about what Redis calls a duplicate, and before a refusal. */
export const postgresOwnReservations = (database: Database) => ({
  async reservedBy(records: readonly Asked[]): Promise<readonly boolean[]> {
    const rows = await database.query<{ place: number }>(sqlQuery('own-reservations'), [
      textArray(records.map(({ tenantId }) => tenantId)),
      plainArray(records.map(({ messageId }) => messageId)),
      plainArray(records.map(({ createdAt }) => dayOf(createdAt))),
      textArray(records.map(({ at }) => at.topic)),
      numberArray(records.map(({ at }) => at.partition)),
      numberArray(records.map(({ at }) => at.offset)),
      numberArray(records.map(({ generation }) => generation)),
    ]);
    const places = new Set(rows.map(({ place }) => place));
    return records.map((_, index) => places.has(index + 1));
  },
});
