import type { EpochMs } from '../../schemas/brand.js';

/** Time that moves only when a test says so. */
export class ManualClock {
  private current: EpochMs;

  constructor(start: EpochMs = Date.UTC(2026, 0, 5, 9)) {
    this.current = start;
  }

  readonly now = (): EpochMs => this.current;

  advance(milliseconds: number): void {
    this.current += milliseconds;
  }
}
