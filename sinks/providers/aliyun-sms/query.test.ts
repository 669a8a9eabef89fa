import { expect, test } from 'vitest';
import { callOf, aliyunConfig } from '../fixtures.js';
import { pageOf, sendDates } from './query.js';

const { routed } = callOf(aliyunConfig('http://127.0.0.1:1'));
const at = (text: string): number => Date.parse(text);

test.each([
  { it: 'one day', from: '2026-03-01T02:00:00Z', to: '2026-03-01T02:01:00Z', days: ['20260301'] },
  {
    it: 'midnight in Beijing between',
    from: '2026-03-01T15:59:59Z',
    to: '2026-03-01T16:00:01Z',
    days: ['20260301', '20260302'],
  },
  {
    it: 'no more than five',
    from: '2026-02-01T00:00:00Z',
    to: '2026-03-02T00:00:00Z',
    days: ['20260226', '20260227', '20260228', '20260301', '20260302'],
  },
])('days on which it may have been submitted, Beijing time: $it', ({ from, to, days }) => {
  expect(sendDates({ routed: { ...routed, routedAt: at(from) }, heldAt: at(to) })).toEqual(days);
});

const answer = (body: unknown) =>
  ({
    kind: 'answered',
    status: 200,
    headers: {},
    body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
    calledAt: 0,
  }) as const;

test.each([
  { it: 'no JSON', body: '<html>', finding: { kind: 'no_answer', code: 'HTTP 200' } },
  {
    it: 'a refusal',
    body: { Code: 'isp.RAM_PERMISSION_DENY' },
    finding: { kind: 'no_answer', code: 'isp.RAM_PERMISSION_DENY' },
  },
  {
    it: 'a status that nobody knows',
    body: {
      Code: 'OK',
      SmsSendDetailDTOs: { SmsSendDetailDTO: [{ OutId: 'mine', SendStatus: 7 }] },
    },
    finding: { kind: 'no_answer', code: 'SendStatus 7' },
  },
  {
    it: 'nothing on that day',
    body: { Code: 'OK', TotalCount: '0' },
    finding: { kind: 'not_found' },
  },
  {
    it: 'others only, and more pages',
    body: {
      Code: 'OK',
      TotalCount: '21',
      SmsSendDetailDTOs: { SmsSendDetailDTO: [{ OutId: 'other', SendStatus: 3 }] },
    },
    finding: { kind: 'further' },
  },
])('$it', ({ body, finding }) => {
  expect(pageOf(answer(body), 'mine', 1)).toEqual(finding);
});

test('a connection that broke says nothing of the message', () => {
  const broken = {
    kind: 'ambiguous',
    timedOut: false,
    status: null,
    code: 'ECONNRESET',
    calledAt: 0,
  } as const;
  expect(pageOf(broken, 'mine', 1)).toEqual({ kind: 'no_answer', code: 'ECONNRESET' });
});
