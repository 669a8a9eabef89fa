const HOUR_MS = 3_600_000;

/** How long a key stays taken, from its first acceptance; requests made longer ago are refused `expired`. */
export const DEDUPE_SPAN_MS = 24 * HOUR_MS;
