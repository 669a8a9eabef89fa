import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ProviderConfig } from '../../schemas/config.js';
import type { DeliveryFeedback, MessageRouted } from '../../schemas/generated/records.js';
import type { Decision } from '../processor.js';
import type { Claim } from './claim.js';
import type { Send } from './contract.js';
import { EXPIRES, NOW, OPTIONS, provider, record, routed, sms, view } from './fixtures.js';
import type { Outcome } from './outcomes.js';
import { send } from './send.js';

/** What may happen to a claimed call: an answer, or its worker's death. */
type Event = Outcome | { readonly kind: 'died' };

const outcome: fc.Arbitrary<Event> = fc.oneof(
  fc.constantFrom<Event>(
    { kind: 'accepted', providerCode: null, providerMessageId: 'id' },
    { kind: 'delivered', providerCode: null, providerMessageId: 'id' },
    { kind: 'failed.recipient', providerCode: null },
    { kind: 'failed.content', providerCode: null },
    { kind: 'failed.account', providerCode: null },
    { kind: 'timeout', providerCode: null },
    { kind: 'unknown', providerCode: null },
    { kind: 'not_called' },
    { kind: 'died' },
  ),
  // Twice as likely: these lead somewhere.
  fc.constantFrom<Event>(
    { kind: 'failed.provider', providerCode: null },
    { kind: 'throttled', providerCode: null, retryAfterMs: 40_000 },
  ),
);

const tablesOf = (settings: Partial<ProviderConfig>) =>
  view({
    channels: [sms(provider(settings), provider({ ...settings, name: 'second', price: '0.05' }))],
  });
const PLAIN = tablesOf({});
const DEDUPING = tablesOf({ dedupesOnKey: true, unknownOutcome: 'retry' });

interface Life {
  readonly emitted: NonNullable<Decision<Send>['emit']>;
  readonly asked: readonly {
    readonly key: string;
    readonly reference: string;
    readonly provider: string;
  }[];
  readonly ambiguousAt: string | null;
}

/** One message through the stage, from routed until nothing of it is put back. */
const live = (first: MessageRouted, events: readonly Event[], dedupes: boolean): Life => {
  const { tables } = dedupes ? DEDUPING : PLAIN;
  const stage = send(OPTIONS);
  const emitted: NonNullable<Decision<Send>['emit']>[number][] = [];
  const asked: { key: string; reference: string; provider: string }[] = [];
  let ambiguousAt: string | null = null;
  let now = NOW;
  let next: MessageRouted | undefined = first;
  for (const event of [
    ...events,
    ...Array<Event>(40).fill({ kind: 'failed.recipient', providerCode: null }),
  ]) {
    if (next === undefined) break;
    now = Math.max(now, next.dueAt ?? now);
    const decided = stage.decide(record(next), { waitMs: 0 }, { ...view({ now }), tables });
    const [call] = decided.call ?? [];
    let decision = decided;
    if (call !== undefined) {
      const [put] = decided.put ?? [];
      const claims = new Map<string, Claim>(put?.value ? [[put.key, put.value]] : []);
      const seen = { ...view({ now: now + 50, claims }), tables };
      if (event.kind !== 'not_called')
        asked.push({
          key: call.idempotencyKey,
          reference: call.reference,
          provider: call.routed.provider,
        });
      if (event.kind === 'died') decision = stage.restored?.(seen) ?? {};
      else
        decision = stage.answered(
          { call, outcome: event, calledAt: now, answeredAt: now + 50 },
          seen,
        );
      if (['died', 'timeout', 'unknown'].includes(event.kind)) ambiguousAt ??= call.routed.provider;
    }
    const emissions = decision.emit ?? [];
    emitted.push(...emissions);
    const back = emissions.find(({ to }) => to === 'retry');
    next = back?.to === 'retry' ? back.value : undefined;
  }
  expect(next).toBeUndefined();
  return { emitted, asked, ambiguousAt };
};

const arbitrary = fc.record({
  events: fc.array(outcome, { maxLength: 12 }),
  dedupes: fc.boolean(),
  leftMs: fc.constantFrom(500, 20_000, 200_000, EXPIRES - NOW),
});

const start = (leftMs: number): MessageRouted =>
  routed({ expiresAt: NOW + leftMs, alternatives: ['sms/second'] });

test('any sequence of outcomes ends exactly once, and its settlements add up', () => {
  fc.assert(
    fc.property(arbitrary, ({ events, dedupes, leftMs }) => {
      const { emitted, ambiguousAt } = live(start(leftMs), events, dedupes);
      const feedback = emitted.flatMap((one) => (one.to === 'feedback' ? [one.value] : []));
      const refused = emitted.flatMap((one) => (one.to === 'refused' ? [one.value] : []));
      const unknown = emitted.filter(({ to }) => to === 'unknown');
      const ends = feedback.filter(isEnd).length + refused.length;
      expect(ends).toBe(1);
      expect(unknown).toHaveLength(feedback.filter(({ state }) => state === 'held').length);

      const settled = [...feedback, ...refused].filter(
        ({ settlement }) => settlement.kind !== 'none',
      );
      const held = feedback.some(({ state }) => state === 'held');
      // What may have been delivered is never voided.
      if (ambiguousAt !== null)
        expect(settled.map(({ settlement }) => settlement.kind)).not.toContain('void');
      expect(settled).toHaveLength(held ? 0 : 1);
      for (const { settlement } of settled) {
        expect(settlement.cashMicros).toBeLessThanOrEqual(100_000n);
        expect(settlement.units).toBeLessThanOrEqual(2);
        if (settlement.kind === 'void')
          expect(settlement).toMatchObject({ cashMicros: 100_000n, units: 2 });
        else expect(settlement.kind).toBe('post');
      }
    }),
    { numRuns: 500 },
  );
});

test('no attempt is asked twice, feedback ids never repeat, sequence grows', () => {
  fc.assert(
    fc.property(arbitrary, ({ events, dedupes, leftMs }) => {
      const { emitted, asked } = live(start(leftMs), events, dedupes);
      expect(new Set(asked.map(({ reference }) => reference)).size).toBe(asked.length);
      const feedback = emitted.flatMap((one) => (one.to === 'feedback' ? [one.value] : []));
      expect(new Set(feedback.map(({ feedbackId }) => feedbackId)).size).toBe(feedback.length);
      const sequences = feedback.map(({ sequence }) => sequence);
      expect(sequences).toEqual([...sequences].sort((one, other) => one - other));
    }),
    { numRuns: 500 },
  );
});

test('after an ambiguous outcome nobody else is asked, and the same one only under the same key', () => {
  fc.assert(
    fc.property(arbitrary, ({ events, dedupes, leftMs }) => {
      const { asked, ambiguousAt } = live(start(leftMs), events, dedupes);
      if (ambiguousAt === null) return;
      const since = asked.filter(({ provider: name }) => name === ambiguousAt);
      expect(asked.at(-1)?.provider).toBe(ambiguousAt);
      expect(new Set(since.map(({ key }) => key)).size).toBe(dedupes ? 1 : since.length);
    }),
    { numRuns: 1_000 },
  );
});

/** A terminal feedback, or one that waits for a receipt or a person: nothing more follows from this stage. */
const isEnd = ({ terminal, state }: DeliveryFeedback): boolean =>
  terminal || state === 'held' || state === 'accepted';
