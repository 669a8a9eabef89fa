import type { EpochMs } from '../../schemas/brand.js';
import type { DeliveryFeedback } from '../../schemas/generated/records.js';
import { type Counts, countFeedback, isOutcome, noCounts } from './counts.js';
import type { Series } from './series.js';
import { type PackedSketch, type Sketch, emptySketch, observe, openSketch } from './sketch.js';

/** What one source partition has counted so far of one window of one series. Cumulative: the newest says all. */
export interface Partial extends Series {
  readonly is: 'partial';
  /** The partition of `feedback` it counts. */
  readonly source: number;
  readonly windowStart: EpochMs;
  readonly windowMs: number;
  /** Feedbacks counted: of two snapshots the one with more is the newer. */
  readonly version: number;
  /** The transaction that touched it last, counted per source partition; see partials.ts. */
  readonly batch: number;
  readonly counts: Readonly<Counts>;
  /** Channel series only: tenants' windows have no latency, and sketches are most of a partial's bytes. */
  readonly latency: Readonly<Sketch> | PackedSketch | null;
  readonly queueAge: Readonly<Sketch> | PackedSketch | null;
}

/** A partial of this transaction, to count into. */
export interface OpenPartial extends Partial {
  version: number;
  readonly counts: Counts;
  readonly latency: Sketch | null;
  readonly queueAge: Sketch | null;
}

/** How far a source partition has come, to every merger partition. */
export interface Watermark {
  readonly is: 'watermark';
  readonly source: number;
  /** Event time: nothing from before it is expected any more; grace covers the disorder. */
  readonly watermark: EpochMs;
  /** The partition had no records for a while: the watermark is the wall clock. */
  readonly idle: boolean;
}

/** On internal.windows.partials. */
export type WindowPartial = Partial | Watermark;

export const emptyPartial = (
  series: Series,
  source: number,
  windowStart: EpochMs,
  windowMs: number,
  batch: number,
): OpenPartial => ({
  is: 'partial',
  ...series,
  source,
  windowStart,
  windowMs,
  version: 0,
  batch,
  counts: noCounts(),
  latency: series.series === 'channel' ? emptySketch() : null,
  queueAge: series.series === 'channel' ? emptySketch() : null,
});

/** A copy that may be changed while the original stays what was committed. */
export const copyPartial = (partial: Partial, batch: number): OpenPartial => ({
  ...partial,
  batch,
  counts: { ...partial.counts },
  latency: partial.latency === null ? null : openSketch(partial.latency),
  queueAge: partial.queueAge === null ? null : openSketch(partial.queueAge),
});

/** Counts one feedback in. */
export const addFeedback = (partial: OpenPartial, feedback: DeliveryFeedback): void => {
  partial.version += 1;
  countFeedback(partial.counts, feedback);
  if (partial.latency === null || partial.queueAge === null || !isOutcome(feedback)) return;
  // A claim that a crash left without its answer is found at a restart: its time says nothing of the provider.
  if (feedback.class !== 'unknown')
    observe(partial.latency, feedback.occurredAt - feedback.attemptedAt);
  if (feedback.attempt === 1) observe(partial.queueAge, feedback.attemptedAt - feedback.createdAt);
};
