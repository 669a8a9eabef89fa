import type { EpochMs } from '../../schemas/brand.js';

/**
 * Calls evenly spaced at a rate. Timers are a millisecond or more late, so up to this much time may be made up for;
 * more would be the burst that even spacing is to prevent.
 */
const CATCH_UP_MS = 10;

/** The generic cell rate algorithm, in milliseconds. */
export class Pace {
  #intervalMs = 0;
  /** When the next call is due, were every one on time. */
  #next: EpochMs = 0;

  set(perSecond: number): void {
    this.#intervalMs = 1000 / perSecond;
  }

  /** How many may begin now. */
  allowed(now: EpochMs): number {
    const from = this.#from(now);
    return from > now ? 0 : Math.floor((now - from) / this.#intervalMs) + 1;
  }

  take(now: EpochMs, calls: number): void {
    this.#next = this.#from(now) + calls * this.#intervalMs;
  }

  /** Milliseconds until one may begin. */
  nextMs(now: EpochMs): number {
    return Math.max(0, this.#from(now) - now);
  }

  /** Milliseconds until one may begin that comes after `ahead` others, at a rate. */
  waitMs(now: EpochMs, perSecond: number, ahead: number): number {
    return Math.max(0, this.#from(now) + (ahead * 1000) / perSecond - now);
  }

  #from(now: EpochMs): EpochMs {
    return Math.max(this.#next, now - CATCH_UP_MS);
  }
}
