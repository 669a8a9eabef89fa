import type { FirstSeen, FirstSighting } from '../../processors/dedupe/first-seen.js';
import type {
  AttemptRow,
  ReceiptAnswer,
  ReceiptLog,
} from '../../processors/receipts/receipt-log.js';
import { takesEffect } from '../../processors/receipts/transition.js';
import { attemptKey } from '../../processors/send/attempt-key.js';
import type { ProviderAnswer, ProviderCall, Providers } from '../../processors/send/contract.js';
import type { Outcome } from '../../processors/send/outcomes.js';
import type { Finding, Inquired, Inquiries, Inquiry } from '../../processors/unknown/contract.js';
import type { EpochMs } from '../../schemas/brand.js';
import type { DeliveryFeedback } from '../../schemas/generated/records.js';
import type { Coordinates } from '../../schemas/record.js';

const sameCoordinates = (a: Coordinates, b: Coordinates): boolean =>
  a.topic === b.topic && a.partition === b.partition && a.offset === b.offset;

/** The global dedupe layer in memory; `away` makes it answer as Redis does when it is not there. */
export class MemoryFirstSeen implements FirstSeen {
  away = false;
  private readonly kept = new Map<string, FirstSighting>();

  /** redis-cli flushall. */
  flush(): void {
    this.kept.clear();
  }

  readonly claim: FirstSeen['claim'] = (sightings) =>
    Promise.resolve(
      sightings.map(({ key, content, messageId, at }) => {
        if (this.away) return null;
        const name = key.toString('hex');
        const first = this.kept.get(name) ?? { content, messageId, at };
        this.kept.set(name, first);
        return first;
      }),
    );

  /** FLUSHALL, or a restart without a disk. */
  empty(): void {
    this.kept.clear();
  }

  readonly release: FirstSeen['release'] = (releases) => {
    for (const { key, at } of releases) {
      const first = this.kept.get(key.toString('hex'));
      if (!this.away && first !== undefined && sameCoordinates(first.at, at))
        this.kept.delete(key.toString('hex'));
    }
    return Promise.resolve();
  };
}

/** Providers that answer at once what the script says, and write down every call that was made. */
export class ScriptedProviders implements Providers {
  readonly calls: ProviderCall[] = [];
  private readonly script: (call: ProviderCall) => Outcome;
  private readonly now: () => EpochMs;

  constructor(script: (call: ProviderCall) => Outcome, now: () => EpochMs) {
    this.script = script;
    this.now = now;
  }

  readonly admit: Providers['admit'] = (requests) => requests.map(() => ({ waitMs: 0 }));

  readonly perform: Providers['perform'] = (calls) => this.answers(calls);

  private async *answers(calls: readonly ProviderCall[]): AsyncGenerator<ProviderAnswer> {
    for (const call of calls) {
      const outcome = this.script(call);
      if (outcome.kind !== 'not_called') this.calls.push(call);
      await Promise.resolve();
      const at = this.now();
      yield { call, outcome, calledAt: at, answeredAt: at };
    }
  }

  /** Attempts that were asked more than once. There must be none. */
  get repeated(): string[] {
    const references = this.calls.map(({ reference }) => reference);
    return references.filter((one, index) => references.indexOf(one) !== index);
  }
}

/** Providers that say of attempts what the script says, and every question. */
export class ScriptedInquiries implements Inquiries {
  readonly asked: Inquiry[] = [];
  private readonly script: (inquiry: Inquiry) => Finding;
  private readonly now: () => EpochMs;

  constructor(script: (inquiry: Inquiry) => Finding, now: () => EpochMs) {
    this.script = script;
    this.now = now;
  }

  readonly inquire: Inquiries['inquire'] = (calls) => this.answers(calls);

  private async *answers(calls: readonly Inquiry[]): AsyncGenerator<Inquired> {
    for (const call of calls) {
      this.asked.push(call);
      await Promise.resolve();
      yield { call, finding: this.script(call), answeredAt: this.now() };
    }
  }
}

export const ACCEPTED: Outcome = {
  kind: 'accepted',
  providerMessageId: null,
  providerCode: 'OK',
};

/** The attempts table and the receipts' decisions, in memory; `store` is the attempts sink. */
export class MemoryReceiptLog implements ReceiptLog {
  private readonly attempts = new Map<string, AttemptRow>();
  private readonly decided = new Map<string, { at: Coordinates; attempt: AttemptRow }>();
  private passed: EpochMs | null = null;

  store(feedback: readonly { key: string; value: DeliveryFeedback }[], passed: EpochMs): void {
    for (const { key, value } of feedback) this.advance(key, value);
    this.passed = passed;
  }

  /** The newest attempt of this message and generation that is known; 0: none. */
  newest(tenantId: string, messageId: string, generation: number): number {
    const of = [...this.attempts.values()].filter(
      (row) =>
        row.tenantId === tenantId && row.messageId === messageId && row.generation === generation,
    );
    return Math.max(0, ...of.map(({ attempt }) => attempt));
  }

  get passedAt(): EpochMs | null {
    return this.passed;
  }

  readonly takeOver: ReceiptLog['takeOver'] = () => Promise.resolve();

  readonly decide: ReceiptLog['decide'] = (batch) =>
    Promise.resolve(
      batch.map(({ at, attempt, transition }): ReceiptAnswer => {
        const stored = attempt === null ? undefined : this.attempts.get(attemptKey(attempt));
        if (attempt === null || stored === undefined)
          return { kind: 'unknown_attempt', passed: this.passed };
        const key = attemptKey(attempt);
        const name = `${key}|${transition}`;
        const before = this.decided.get(name);
        if (before !== undefined)
          return sameCoordinates(before.at, at)
            ? { kind: 'again', attempt: before.attempt }
            : { kind: 'already' };
        if (this.wasTold(key, transition)) return { kind: 'already' };
        if (this.pending(key, stored)) return { kind: 'earlier_pending' };
        this.decided.set(name, { at, attempt: stored });
        return { kind: 'first', attempt: stored };
      }),
    );

  /** Whether a transition was decided that changes something, and its feedback is not stored yet. */
  private pending(key: string, stored: AttemptRow): boolean {
    return [...this.decided].some(
      ([name, { attempt }]) =>
        name.startsWith(`${key}|`) &&
        attempt.sequence >= stored.sequence &&
        takesEffect(attempt.state, name.slice(key.length + 1) as AttemptRow['state']),
    );
  }

  /** Whether the attempt was in this state before a transition; `unknown` may end what was `unknown` before. */
  private wasTold(key: string, state: AttemptRow['state']): boolean {
    return (
      state !== 'unknown' &&
      [...this.decided].some(
        ([name, { attempt }]) => name.startsWith(`${key}|`) && attempt.state === state,
      )
    );
  }

  private advance(key: string, value: DeliveryFeedback): void {
    const name = attemptKey(value);
    const known = this.attempts.get(name);
    if (known !== undefined && known.sequence >= value.sequence) return;
    const { settlement } = value;
    const posted = settlement.kind === 'post';
    this.attempts.set(name, {
      ...value,
      key,
      postedCashMicros: posted ? settlement.cashMicros : (known?.postedCashMicros ?? 0n),
      postedUnits: posted ? settlement.units : (known?.postedUnits ?? 0),
      currency: settlement.currency,
      leaseId: null,
      reservation: {
        cashMicros: 50_000n,
        units: 1,
        currency: 'CNY',
        state: posted ? 'posted' : 'pending',
      },
    });
  }
}
