import type { Coordinates } from '../../schemas/record.js';
import type { FirstSeen, Sighting } from './first-seen.js';

/** What the ledger knows of records that were here before: direct mode keeps each reservation's coordinates. */
export interface OwnReservations {
  /**
   * In order: whether this very record holds its message's reservation of generation 0. One call a batch.
   * @throws PipelineError postgres_unavailable (retry) | postgres_refused (stop)
   */
  readonly reservedBy: (
    records: readonly Pick<Sighting, 'tenantId' | 'messageId' | 'createdAt' | 'at'>[],
  ) => Promise<readonly boolean[]>;
}

const same = (a: Coordinates, b: Coordinates): boolean =>
  a.offset === b.offset && a.partition === b.partition && a.topic === b.topic;

/**
 * Redis may be emptied, or be away, between a record's reservation and its transaction. Read again after an abort, the
 * record then finds that another one of the same message has taken its key meanwhile, while that one finds in the
 * ledger that the first has paid: each would be refused as the other's duplicate, the message be lost and its money
 * stay pending. Whoever has paid goes on. Only what Redis calls a duplicate is asked about.
 */
export const payersFirst = (firstSeen: FirstSeen, ledger: OwnReservations): FirstSeen => ({
  claim: async (sightings, spanMs) => {
    const firsts = await firstSeen.claim(sightings, spanMs);
    const doubted = sightings.filter((one, index) => {
      const first = firsts[index];
      return first !== null && first !== undefined && !same(first.at, one.at);
    });
    if (doubted.length === 0) return firsts;
    const paid = await ledger.reservedBy(doubted);
    const payers = new Set(doubted.filter((_, index) => paid[index] === true));
    return firsts.map((first, index) => {
      const one = sightings[index];
      return one !== undefined && payers.has(one) ? one : first;
    });
  },
  release: (releases) => firstSeen.release(releases),
});
