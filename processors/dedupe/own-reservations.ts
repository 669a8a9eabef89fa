import type { Coordinates } from '../../schemas/record.js';
import type { FirstSeen, Sighting } from './first-seen.js';

/** A record, and the message that it brought. */
export type Payer = Pick<Sighting, 'tenantId' | 'messageId' | 'createdAt' | 'at'> & {
  readonly generation: number;
};

/** What the ledger knows of records that were here before: direct mode keeps each reservation's coordinates. */
export interface OwnReservations {
  /**
   * In order: whether this very record holds the reservation of its message and generation. One call a batch.
   * @throws PipelineError postgres_unavailable (retry) | postgres_refused (stop)
   */
  readonly reservedBy: (records: readonly Payer[]) => Promise<readonly boolean[]>;
}

/** Those of the records that hold their message's reservation; asks nothing about none. */
export const holders = async <T>(
  ledger: OwnReservations,
  records: readonly T[],
  payerOf: (record: T) => Payer,
): Promise<ReadonlySet<T>> => {
  if (records.length === 0) return new Set();
  const held = await ledger.reservedBy(records.map(payerOf));
  return new Set(records.filter((_, index) => held[index] === true));
};

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
    const payers = await holders(ledger, doubted, (one) => ({ ...one, generation: 0 }));
    return firsts.map((first, index) => {
      const one = sightings[index];
      return one !== undefined && payers.has(one) ? one : first;
    });
  },
  release: (releases) => firstSeen.release(releases),
});
