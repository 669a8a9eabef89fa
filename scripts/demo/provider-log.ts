import { readFileSync } from 'node:fs';
import type { DeliveryFeedback } from '../../schemas/generated/records.js';
import type { Decoded } from '../read/decoded.js';

/** A line of the simulator's own log (infra/providers/journal.ts). */
interface Asked {
  readonly kind: 'asked';
  readonly endpoint: string;
  readonly reference: string;
  readonly nth: number;
  readonly accepted: boolean;
  readonly repeated: boolean;
}
interface Reported {
  readonly kind: 'receipt';
  readonly reference: string;
  /** We took it. */
  readonly acknowledged: boolean;
}
type Entry = Asked | Reported;

export const readProviderLog = (file: string): readonly Entry[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Entry);

const attemptKey = (feedback: DeliveryFeedback): string =>
  `${feedback.tenantId}|${feedback.messageId}|${feedback.generation}|${feedback.attempt}`;

/** Attempts at the SMS provider that feedback speaks of, with whether the provider is said to have taken them. */
export class AttemptsSeen {
  readonly #attempts = new Map<string, boolean>();

  observe({ decoded }: Decoded): void {
    if (decoded.is !== 'DeliveryFeedback' || decoded.value.channel !== 'sms') return;
    const { attempt, state } = decoded.value;
    if (attempt === 0) return;
    const key = attemptKey(decoded.value);
    const taken = state === 'accepted' || state === 'delivered';
    this.#attempts.set(key, taken || (this.#attempts.get(key) ?? false));
  }

  /**
   * Where the provider's log and the feedback disagree; the log is the oracle. An SMS is asked for once per attempt;
   * a webhook, whose receiver dedupes, may be asked again only while it has not taken the message.
   */
  disagreements(log: readonly Entry[]): readonly string[] {
    const asked = log.filter((entry): entry is Asked => entry.kind === 'asked');
    const sms = asked.filter(({ endpoint }) => !endpoint.startsWith('webhook/'));
    const accepted = new Set(sms.filter((one) => one.accepted).map((one) => one.reference));
    const known = new Set(sms.map((one) => one.reference));
    return [
      ...sms
        .filter(({ nth }) => nth > 1)
        .map(({ reference, nth }) => `${reference}: the provider was asked ${nth} times`),
      ...asked
        .filter(({ repeated }) => repeated)
        .map(({ reference }) => `${reference}: asked again after it was accepted`),
      ...[...known]
        .filter((reference) => !this.#attempts.has(reference))
        .map((reference) => `${reference}: the provider was asked, and no feedback says so`),
      ...[...this.#attempts]
        .filter(([reference, taken]) => taken && !accepted.has(reference))
        .map(
          ([reference]) =>
            `${reference}: accepted, says feedback; the provider knows nothing of it`,
        ),
    ];
  }
}
