import { expect, test } from 'vitest';
import { messageId, tenantId } from '../../schemas/brand.js';
import type { DeliveryFeedback } from '../../schemas/generated/records.js';
import type { Decoded } from '../read/decoded.js';
import { AttemptsSeen } from './provider-log.js';

const feedback = (id: string, state: DeliveryFeedback['state'], attempt = 1): Decoded =>
  ({
    decoded: {
      is: 'DeliveryFeedback',
      value: {
        tenantId: tenantId('t'),
        messageId: messageId(id),
        generation: 0,
        attempt,
        channel: 'sms',
        state,
      } as DeliveryFeedback,
    },
  }) as Decoded;
const asked = (id: string, more: { nth?: number; accepted?: boolean; attempt?: number } = {}) =>
  ({
    kind: 'asked',
    endpoint: 'aliyun-sms',
    reference: `t|${id}|0|${more.attempt ?? 1}`,
    nth: more.nth ?? 1,
    accepted: more.accepted ?? true,
    repeated: false,
  }) as const;

const judge = (seen: readonly Decoded[], log: Parameters<AttemptsSeen['disagreements']>[0]) => {
  const attempts = new AttemptsSeen();
  for (const one of seen) attempts.observe(one);
  return attempts.disagreements(log);
};

test('one request per attempt, each known to feedback, is agreed', () => {
  expect(
    judge(
      [feedback('a', 'failed'), feedback('a', 'accepted', 2), feedback('a', 'delivered', 2)],
      [
        asked('a', { accepted: false }),
        asked('a', { attempt: 2 }),
        { kind: 'receipt', reference: 'a', acknowledged: true },
      ],
    ),
  ).toEqual([]);
});

test.each([
  {
    it: 'asked twice for one attempt',
    seen: [feedback('a', 'accepted')],
    log: [asked('a'), asked('a', { nth: 2 })],
  },
  { it: 'asked, and no feedback', seen: [], log: [asked('a')] },
  { it: 'accepted, and never asked', seen: [feedback('a', 'accepted')], log: [] },
  {
    it: 'accepted, though the provider refused',
    seen: [feedback('a', 'accepted')],
    log: [asked('a', { accepted: false })],
  },
])('$it is named', ({ seen, log }) => {
  expect(judge(seen, log)).toHaveLength(1);
});
