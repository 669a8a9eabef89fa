import { expect, test } from 'vitest';
import { BASE64_HEADERS, deadLetter } from './dead-letters.js';

const buried = (headers: Readonly<Record<string, Buffer>>) =>
  deadLetter(
    {
      at: { topic: 'ingest.p0', partition: 1, offset: 7 },
      key: null,
      value: null,
      timestamp: 0,
      headers,
    },
    'dead-letters',
    'dedupe',
    'tombstone',
    'the value is empty',
  ).headers ?? {};

test('headers of text are kept as they are', () => {
  const headers = buried({ traceparent: Buffer.from('00-ab-cd-01'), name: Buffer.from('é') });
  expect(headers['traceparent']).toEqual(Buffer.from('00-ab-cd-01'));
  expect(headers['name']).toEqual(Buffer.from('é'));
  expect(headers[BASE64_HEADERS]).toBeUndefined();
});

test('headers that are no text, which the client would cut or change, are kept in base64 and named', () => {
  const headers = buried({
    text: Buffer.from('text'),
    cut: Buffer.from([65, 0, 66]),
    changed: Buffer.from([0xff, 0xfe]),
  });
  expect(headers['text']).toEqual(Buffer.from('text'));
  expect(headers[BASE64_HEADERS]?.toString()).toBe('["cut","changed"]');
  expect(Buffer.from(String(headers['cut']), 'base64')).toEqual(Buffer.from([65, 0, 66]));
  expect(Buffer.from(String(headers['changed']), 'base64')).toEqual(Buffer.from([0xff, 0xfe]));
});

test('a record that names the header itself is not believed', () => {
  const forged = buried({ [BASE64_HEADERS]: Buffer.from('["x"]'), cut: Buffer.from([0]) });
  expect(forged[BASE64_HEADERS]?.toString()).toBe('["cut"]');
});
