/** What a release does with one format of our own. */
export interface Format {
  /** The version that it writes. */
  readonly writes: number;
  /** The newest that it reads, at least what it writes; and all before. */
  readonly reads: number;
}

/**
 * The formats of our own: values of internal topics that no schema in the registry describes, each with its version in its
 * first byte. A version is read one release before any release writes it: workers of two releases in a row then read one
 * another's state, which an upgrade that goes worker by worker needs, and the way back too (docs/versions.md).
 */
export const FORMATS = {
  /** internal.dedupe.*: schemas/id-batch. */
  ids: { writes: 1, reads: 1 },
  /** internal.spends.*: processors/budget-reserve/spend-codec. */
  spends: { writes: 1, reads: 1 },
  /** internal.leases.*: processors/budget-reserve/leases. */
  leases: { writes: 1, reads: 1 },
  /** internal.claims.*, internal.claims-retry.*: topologies/runtime/block-codec; version 1 was a claim a record. */
  blocks: { writes: 2, reads: 3 },
  /** Within blocks: processors/send/claim-codec. */
  claims: { writes: 1, reads: 2 },
  /** internal.unknown.waiting: processors/unknown/waiting-codec. */
  heldAttempts: { writes: 1, reads: 2 },
  /** internal.schedule.*: processors/release/schedule. */
  schedules: { writes: 1, reads: 1 },
  /** internal.windows.*: processors/windows/window-codec. */
  windows: { writes: 1, reads: 1 },
  /** internal.breaker.scopes: processors/breaker/scope. */
  breakerScopes: { writes: 1, reads: 1 },
} as const satisfies Readonly<Record<string, Format>>;
