import type { EpochMs, MessageId, TenantId } from '../../schemas/brand.js';
import type { Coordinates } from '../../schemas/record.js';

/** A valid request, as the global dedupe layer is asked about it. */
export interface Sighting {
  /** 16 bytes: keyHash of tenant and idempotency key (dedupe/key.ts). */
  readonly key: Buffer;
  /** 8 bytes: contentHash of what may not differ under one key. */
  readonly content: Buffer;
  readonly tenantId: TenantId;
  /** Canonical UUID: it is kept as 16 bytes. */
  readonly messageId: MessageId;
  /** The request's: its UTC day is part of the reservation's key. */
  readonly createdAt: EpochMs;
  readonly at: Coordinates;
}

/** Who brought a key first within the span; the asker itself where nobody did before. */
export interface FirstSighting {
  readonly content: Buffer;
  readonly messageId: MessageId;
  readonly at: Coordinates;
}

/** A claim that may be given back. */
export type Release = Pick<Sighting, 'key' | 'at'>;

/** The global dedupe layer: Redis. It is a cache; without it direct mode still dedupes by messageId. */
export interface FirstSeen {
  /**
   * One call a batch. Answers in order: who was first; null where the layer is away (degraded: after it was given 2 s, later at once).
   * The same key twice in a batch: the earlier one is first.
   */
  readonly claim: (
    sightings: readonly Sighting[],
    spanMs: number,
  ) => Promise<readonly (FirstSighting | null)[]>;
  /** Frees keys that are held by these very coordinates; others stay. Best effort: never throws for an absent layer. */
  readonly release: (releases: readonly Release[]) => Promise<void>;
}
