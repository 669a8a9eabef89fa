import { expect, test } from 'vitest';
import { BASE64_HEADERS, DEAD_LETTER_HEADERS, OMITTED_VALUE, deadLetter } from './dead-letters.js';
import type { HeaderList } from './raw-record.js';
import { sizeOf } from './topic-limits.js';

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

const repeated = (allHeaders: HeaderList) =>
  deadLetter(
    {
      at: { topic: 'ingest.p0', partition: 1, offset: 7 },
      key: Buffer.from('k'),
      value: Buffer.from('v'),
      timestamp: 0,
      headers: Object.fromEntries(allHeaders),
      allHeaders,
    },
    'dead-letters',
    'dedupe',
    'undecidable',
    'why',
  );

test('a name that occurs more than once keeps all its values, in order', () => {
  const letter = repeated([
    ['tag', Buffer.from('a')],
    ['one', Buffer.from('1')],
    ['tag', Buffer.from('b')],
    ['tag', Buffer.from('a')],
  ]);
  expect(letter.moreHeaders?.map(([name, value]) => `${name}=${value.toString()}`)).toEqual([
    'tag=a',
    'tag=b',
    'tag=a',
  ]);
  expect(letter.headers?.['one']?.toString()).toBe('1');
  expect(letter.headers?.['tag']).toBeUndefined();
});

test('where one value of a name is no text, all of them are in base64, and the name is listed once', () => {
  const letter = repeated([
    ['tag', Buffer.from('a')],
    ['tag', Buffer.from([0])],
  ]);
  expect(letter.moreHeaders?.map(([, value]) => value.toString())).toEqual(['YQ==', 'AA==']);
  expect(letter.headers?.[BASE64_HEADERS]?.toString()).toBe('["tag"]');
});

test('what is too large for the topic leaves its coordinates and says what is missing', () => {
  const raw = {
    at: { topic: 'ingest.p0', partition: 1, offset: 7 },
    key: Buffer.from('k'),
    value: Buffer.alloc(2_000),
    timestamp: 0,
    headers: { mine: Buffer.alloc(10) },
  };
  const letter = deadLetter(raw, 'dead-letters', 'dedupe', 'undecidable', 'why', 1_000);
  expect(sizeOf(letter)).toBeLessThanOrEqual(1_000);
  expect(letter.value).toBeNull();
  expect(letter.headers?.[OMITTED_VALUE]?.toString()).toBe('2000');
  expect(letter.headers?.[DEAD_LETTER_HEADERS.offset]?.toString()).toBe('7');
  expect(deadLetter(raw, 'dead-letters', 'dedupe', 'undecidable', 'why', 3_000).value).toBe(
    raw.value,
  );
});
