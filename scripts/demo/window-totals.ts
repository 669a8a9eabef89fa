import type { StoredWindow } from '../../sinks/influx/read-windows.js';
import type { Decoded } from '../read/decoded.js';

const COMPARED = ['attempts', 'messages', 'accepted', 'delivered', 'cost_micros'] as const;
type Totals = Readonly<Record<(typeof COMPARED)[number], number>>;

/**
 * What all windows of a run must add up to, from sets of ids: attempts that feedback speaks of, and what became of
 * each. A window that was read before it closed, or lost a late record, shows as a difference.
 */
export class WindowTotals {
  readonly #attempts = new Set<string>();
  readonly #messages = new Set<string>();
  readonly #accepted = new Set<string>();
  readonly #delivered = new Set<string>();
  #cost = 0n;

  observe({ decoded }: Decoded): void {
    if (decoded.is !== 'DeliveryFeedback') return;
    const { tenantId, messageId, generation, attempt, sequence, state, settlement, ...rest } =
      decoded.value;
    if (settlement.kind === 'post') this.#cost += settlement.cashMicros;
    if (settlement.kind === 'reverse') this.#cost -= settlement.cashMicros;
    // Time ran out before anyone was asked: nobody's attempt.
    if (attempt === 0 || rest.class === 'expired') return;
    const key = `${tenantId}|${messageId}|${generation}|${attempt}`;
    this.#attempts.add(key);
    if (attempt === 1) this.#messages.add(key);
    if (state === 'delivered') this.#delivered.add(key);
    // The first word on an attempt has its number; a provider whose answer is the delivery has accepted as well.
    if (state === 'accepted' || (state === 'delivered' && sequence === attempt))
      this.#accepted.add(key);
  }

  /** Where InfluxDB's windows add up to something else, in words. */
  disagreements(windows: readonly StoredWindow[]): readonly string[] {
    const expected: Totals = {
      attempts: this.#attempts.size,
      messages: this.#messages.size,
      accepted: this.#accepted.size,
      delivered: this.#delivered.size,
      cost_micros: Number(this.#cost),
    };
    return COMPARED.flatMap((field) => {
      const found = windows.reduce((sum, window) => sum + window[field], 0);
      return found === expected[field]
        ? []
        : [`windows in InfluxDB add up to ${found} ${field}, the reader saw ${expected[field]}`];
    });
  }
}
