import type { Coordinates } from '../../schemas/record.js';
import { type MessageKey, messageKey } from '../demo/accounting.js';
import type { Decoded } from '../read/decoded.js';

const POLL_MS = 50;

/**
 * When partitions of ingest topics have delivered something new: a record that was acknowledged after this was made,
 * so not taken by anyone who died before, has feedback or was refused. For fail-over times.
 */
export class Delivery {
  private readonly since = Date.now();
  private readonly written = new Map<MessageKey, string>();
  private readonly waiting: Set<string>;
  private readonly over: () => void;
  private lastMs = 0;

  /** @param partitions `<topic>/<partition>`. @param over told when nobody waits any more */
  constructor(partitions: readonly string[], over: () => void) {
    this.waiting = new Set(partitions);
    this.over = over;
  }

  acknowledged({ topic, partition }: Coordinates, message: MessageKey): void {
    const place = `${topic}/${partition}`;
    if (this.waiting.has(place)) this.written.set(message, place);
  }

  observe({ decoded }: Decoded): void {
    if (decoded.is !== 'DeliveryFeedback' && decoded.is !== 'MessageRefused') return;
    const { tenantId, messageId } = decoded.value;
    const place = this.written.get(messageKey(tenantId, messageId));
    if (place === undefined || !this.waiting.delete(place)) return;
    this.lastMs = Date.now() - this.since;
  }

  /**
   * Waits until all have, except those to which nothing was written.
   * @returns ms from the beginning to the last partition's first delivery; null: not all within the deadline
   */
  async within(deadlineMs: number): Promise<number | null> {
    try {
      while (this.waiting.size > 0 && Date.now() - this.since < deadlineMs)
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      const written = new Set(this.written.values());
      return [...this.waiting].some((place) => written.has(place)) ? null : this.lastMs;
    } finally {
      this.over();
    }
  }
}
