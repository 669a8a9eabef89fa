import type { EpochMs } from '../../schemas/brand.js';
import type { MessageRouted } from '../../schemas/generated/records.js';
import type { Coordinates } from '../../schemas/record.js';

/** Written before a provider is called, deleted with its outcome: what a crash leaves is an unknown outcome. */
export interface Claim {
  readonly routed: MessageRouted;
  /** The record's Kafka key: the outcome is written much later, and must keep the order per key. */
  readonly key: string;
  /** The record that was claimed. */
  readonly at: Coordinates;
  readonly claimedAt: EpochMs;
  /** By then the call has answered or timed out; none is begun later. */
  readonly deadline: EpochMs;
}

/** The store key of a record's claim. */
export const claimKey = (at: Coordinates): string =>
  `${at.topic}/${String(at.partition)}/${String(at.offset)}`;
