import type { Coordinates } from '../../schemas/record.js';

/** One thing that happened to a message, wherever it was written down. */
export interface TraceEvent {
  /** ms since the epoch, by the clock of whoever wrote it. */
  readonly at: number;
  /** Where it stands: coordinates in Kafka, or a table. */
  readonly where: Coordinates | { readonly table: string };
  /** e.g. routed, feedback, reservation. */
  readonly what: string;
  /** In a line, for people. */
  readonly summary: string;
  /** All of it, for machines and --verbose; personal data masked unless asked for. */
  readonly detail: unknown;
}

/** A message of one tenant, and all that happened to it. */
export interface Trace {
  readonly tenantId: string;
  readonly messageId: string;
  readonly events: readonly TraceEvent[];
}

/** Events of one millisecond are told in the order of the pipeline. */
const ORDER = [
  'ingest',
  'dead-letters',
  'deduped',
  'reserved',
  'routed',
  'retry',
  'receipts',
  'decision',
  'feedback',
  'refused',
  'parked',
  'attempt',
  'ledger',
];
const rank = ({ what }: TraceEvent): number =>
  ORDER.findIndex((first) => what === first || what.startsWith(`${first}.`));

export const inOrder = (events: readonly TraceEvent[]): readonly TraceEvent[] =>
  [...events].sort((a, b) => a.at - b.at || rank(a) - rank(b));
