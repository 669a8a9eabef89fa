import { expect, test } from 'vitest';
import { attemptOfReference } from '../reference.js';
import { aliyunReceipts } from './receipts.js';

const REFERENCE = 'acme|0198f3c2-7b1e-7c55-9a1b-3d2f4e5a6b7c|1|3';
const push = (change: object): Buffer =>
  Buffer.from(
    JSON.stringify([
      {
        phone_number: '13912345678',
        send_time: '2026-11-23 20:00:00',
        report_time: '2026-11-23 20:00:05',
        success: true,
        err_code: 'DELIVERED',
        err_msg: '用户接收成功',
        sms_size: '2',
        biz_id: '123^0',
        out_id: REFERENCE,
        ...change,
      },
    ]),
  );

test('a report is read whole, its time as Beijing’s, and its phone number not at all', () => {
  const reports = aliyunReceipts.parse(push({}));
  expect(reports).toEqual([
    {
      attempt: {
        tenantId: 'acme',
        messageId: '0198f3c2-7b1e-7c55-9a1b-3d2f4e5a6b7c',
        generation: 1,
        attempt: 3,
      },
      providerMessageId: '123^0',
      state: 'delivered',
      class: null,
      providerCode: 'DELIVERED',
      units: 2,
      reportedAt: Date.UTC(2026, 10, 23, 12, 0, 5),
    },
  ]);
});

test.each([
  { code: 'MOBILE_NOT_ON_SERVICE', class: 'recipient' },
  { code: 'CONTENT_KEYWORD', class: 'content' },
  { code: 'SP_UNKNOWN_ERROR', class: 'provider' },
  { code: 'MK:0001', class: 'unknown' },
  { code: null, class: 'unknown' },
])('a failure of code $code is the $class’s', ({ code, class: failure }) => {
  expect(aliyunReceipts.parse(push({ success: false, err_code: code }))).toMatchObject([
    { state: 'failed', class: failure },
  ]);
});

test.each([
  { it: 'not JSON', body: Buffer.from('<xml/>') },
  { it: 'no array', body: Buffer.from('{"success":true}') },
  { it: 'success as text', body: push({ success: 'true' }) },
  { it: 'an endless code', body: push({ err_code: 'x'.repeat(65) }) },
])('$it is refused without a word of it', ({ body }) => {
  expect(() => aliyunReceipts.parse(body)).toThrow(
    expect.objectContaining({ code: 'undecidable', message: 'not an Aliyun SMS receipt' }),
  );
});

test.each([
  null,
  undefined,
  7,
  '',
  '12345',
  'acme|not-a-uuid|0|1',
  'ACME|0198f3c2-7b1e-7c55-9a1b-3d2f4e5a6b7c|0|1',
  'acme|0198f3c2-7b1e-7c55-9a1b-3d2f4e5a6b7c|0|1|2',
  'acme|0198f3c2-7b1e-7c55-9a1b-3d2f4e5a6b7c|-1|1',
])('a reference that is not ours names no attempt: %s', (reference) => {
  expect(attemptOfReference(reference)).toBeNull();
});
