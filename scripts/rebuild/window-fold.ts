import { isCounted } from '../../processors/windows/counts.js';
import type { OpenPartial } from '../../processors/windows/partial.js';
import { addFeedback, emptyPartial } from '../../processors/windows/partial.js';
import { SeriesIndex } from '../../processors/windows/series.js';
import type { EpochMs } from '../../schemas/brand.js';
import type { DeliveryFeedback } from '../../schemas/generated/records.js';

/**
 * Counts feedback of all partitions as the live stage counts each: sums do not depend on who adds up what. Every tenant
 * has a series here; which of them belong to `other` depends on the window (compareWindows).
 */
export class WindowFold {
  private readonly index = new SeriesIndex();
  private readonly tenants = new Set<string>();
  private readonly open = new Map<string, OpenPartial>();
  private readonly lengthMs: number;

  constructor(lengthMs: number) {
    this.lengthMs = lengthMs;
  }

  count(feedback: DeliveryFeedback): void {
    if (!isCounted(feedback)) return;
    this.tenants.add(feedback.tenantId);
    const windowStart = Math.floor(feedback.occurredAt / this.lengthMs) * this.lengthMs;
    for (const series of [
      this.index.channel(feedback),
      this.index.tenant(feedback, this.tenants),
    ]) {
      const key = series.windowKey(windowStart, this.lengthMs);
      let partial = this.open.get(key);
      if (partial === undefined) {
        partial = emptyPartial(series.of, 0, windowStart, this.lengthMs, 0);
        this.open.set(key, partial);
      }
      addFeedback(partial, feedback);
    }
  }

  /** Windows that begin at or after a time; they are forgotten here. */
  take(from: EpochMs): readonly OpenPartial[] {
    const taken: OpenPartial[] = [];
    for (const [key, partial] of this.open)
      if (partial.windowStart >= from) {
        taken.push(partial);
        this.open.delete(key);
      }
    return taken;
  }
}
