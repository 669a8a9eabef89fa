/**
 * Where first-seen.lua keeps since when every accepted key is in Redis. Beside the keys, not under their prefix: they
 * are counted. Gone when they are: flushed, evicted, or a server that started empty.
 */
export const markerOf = (topicPrefix: string): string => `${topicPrefix}seen-since`;

/** Every key is there. */
export const WHOLE = 0;

/**
 * What the marker says: null where Redis holds all keys of the span, else when it was found empty (ms since the epoch).
 * A span later it is whole by itself: keys that it lost have expired.
 */
export const emptySince = (marker: number, spanMs: number, now: number): number | null =>
  marker === WHOLE || now - marker >= spanMs ? null : marker;
