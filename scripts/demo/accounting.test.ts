import { expect, test } from 'vitest';
import type {
  DeliveryFeedback,
  MessageRefused,
  Parked,
  RefusalReason,
} from '../../schemas/generated/records.js';
import { messageId, tenantId } from '../../schemas/brand.js';
import { DEAD_LETTER_HEADERS } from '../../topologies/runtime/dead-letters.js';
import type { Decoded, DecodedValue } from '../read/decoded.js';
import { Accounting, messageKey } from './accounting.js';

const INGEST = 'ingest.p0';
const at = (offset: number) => ({ topic: INGEST, partition: 0, offset });
const m = (id: string) => messageKey('t', id);

const record = (decoded: DecodedValue, headers: Decoded['headers'] = {}): Decoded => ({
  at: { topic: 'somewhere', partition: 0, offset: 0 },
  key: null,
  value: null,
  timestamp: 0,
  headers,
  decoded,
});
let events = 0;
const feedback = (
  id: string,
  state: DeliveryFeedback['state'],
  { terminal = true, sequence = 1, feedbackId = `event-${events++}` } = {},
): Decoded =>
  record({
    is: 'DeliveryFeedback',
    value: {
      feedbackId,
      messageId: messageId(id),
      tenantId: tenantId('t'),
      state,
      terminal,
      sequence,
      attempt: 1,
    } as DeliveryFeedback,
  });
const refused = (offset: number, reason: RefusalReason, topic = INGEST, id = 'x'): Decoded =>
  record({
    is: 'MessageRefused',
    value: {
      source: { topic, partition: 0, offset },
      reason,
      tenantId: tenantId('t'),
      messageId: messageId(id),
    } as MessageRefused,
  });
const parked = (id: string): Decoded =>
  record({
    is: 'Parked',
    value: {
      deduped: { request: { tenantId: tenantId('t'), messageId: messageId(id) } },
      routed: null,
    } as Parked,
  });
const dead = (offset: number): Decoded =>
  record(
    { is: 'Unreadable', why: 'no schema' },
    {
      [DEAD_LETTER_HEADERS.topic]: Buffer.from(INGEST),
      [DEAD_LETTER_HEADERS.partition]: Buffer.from('0'),
      [DEAD_LETTER_HEADERS.offset]: Buffer.from(String(offset)),
    },
  );

const accounting = (ids: readonly string[], seen: readonly Decoded[]): Accounting => {
  const made = new Accounting([INGEST]);
  ids.forEach((id, offset) => {
    made.produced(at(offset), m(id), 'deliverable');
  });
  for (const one of seen) made.observe(one);
  return made;
};

test('each record in one end state adds up, and contradicts nothing', () => {
  const all = accounting(
    ['a', 'b', 'c', 'd', 'e', 'a', 'f', 'g', 'h'],
    [
      feedback('a', 'accepted', { terminal: false }),
      feedback('a', 'delivered', { sequence: 2 }),
      feedback('b', 'accepted'),
      feedback('c', 'failed'),
      refused(3, 'invalid'),
      dead(4),
      refused(5, 'duplicate'),
      parked('f'),
      feedback('g', 'held', { terminal: false }),
      refused(77, 'expired', 'routed.sms.p0', 'h'),
    ],
  );
  expect(all.endStates()).toEqual({
    produced: 9,
    accepted: 1,
    delivered: 1,
    failed: 1,
    refused: { invalid: 1, duplicate: 1, expired: 1 },
    deadLetters: 1,
    parked: 1,
    held: 1,
    inFlight: 0,
    unseen: 0,
  });
  expect(all.contradictions()).toEqual({ surplus: [], repeatedEvents: [] });
});

test.each([
  { it: 'a message that ended nowhere', ids: ['a'], seen: [], unseen: 1 },
  {
    it: 'a second record of a message that vanished',
    ids: ['a', 'a'],
    seen: [feedback('a', 'delivered')],
    unseen: 1,
  },
])('$it is unseen', ({ ids, seen, unseen }) => {
  expect(accounting(ids, seen).endStates().unseen).toBe(unseen);
});

test.each([
  { it: 'refused twice', ids: ['a'], seen: [refused(0, 'invalid'), refused(0, 'invalid')] },
  { it: 'refused and dead-lettered', ids: ['a'], seen: [refused(0, 'invalid'), dead(0)] },
  {
    it: 'its only record refused, and yet delivered',
    ids: ['a'],
    seen: [refused(0, 'invalid'), feedback('a', 'delivered')],
  },
  {
    it: 'concluded and refused later',
    ids: ['a'],
    seen: [feedback('a', 'delivered'), refused(9, 'expired', 'routed.sms.p0', 'a')],
  },
  { it: 'parked twice', ids: ['a'], seen: [parked('a'), parked('a')] },
  { it: 'delivered, but never produced', ids: [], seen: [feedback('a', 'delivered')] },
  { it: 'refused, but never produced', ids: [], seen: [refused(5, 'invalid')] },
])('a message $it is a contradiction', ({ ids, seen }) => {
  expect(accounting(ids, seen).contradictions().surplus).toHaveLength(1);
});

test('an event that a read_committed reader sees twice is named', () => {
  const twice = feedback('a', 'delivered', { feedbackId: 'one' });
  expect(accounting(['a'], [twice, twice]).contradictions().repeatedEvents).toEqual(['one']);
});

test('a failure that will be tried again is in flight', () => {
  const all = accounting(['a'], [feedback('a', 'failed', { terminal: false })]);
  expect(all.endStates()).toMatchObject({ inFlight: 1, failed: 0, unseen: 0 });
});
