import { isUtf8 } from 'node:buffer';
import type { Headers } from '../../schemas/record.js';
import type { RawRecord, Write } from './raw-record.js';

/** Header names of a dead letter, beside the original's own headers. */
export const DEAD_LETTER_HEADERS = {
  topic: 'millrace-topic',
  partition: 'millrace-partition',
  offset: 'millrace-offset',
  stage: 'millrace-stage',
  code: 'millrace-error-code',
  message: 'millrace-error-message',
} as const;

/**
 * JSON array of the names of original headers whose values are written in base64: node-rdkafka writes header values
 * as text up to the first zero byte, so that others would not arrive as they were.
 */
export const BASE64_HEADERS = 'millrace-base64-headers';

/** Error texts are for people; a hostile record must not make them long. */
const MAX_MESSAGE_LENGTH = 500;

const isText = (value: Buffer): boolean => isUtf8(value) && !value.includes(0);

/** Original headers in a form that survives being written. */
const carried = (headers: Headers): Headers => {
  const binary = Object.keys(headers).filter((name) => !isText(headers[name] ?? Buffer.alloc(0)));
  if (binary.length === 0) return headers;
  const encoded = binary.map(
    (name) => [name, Buffer.from((headers[name] ?? Buffer.alloc(0)).toString('base64'))] as const,
  );
  return {
    ...headers,
    ...Object.fromEntries(encoded),
    [BASE64_HEADERS]: Buffer.from(JSON.stringify(binary)),
  };
};

/** The original key, value and headers, and where it lay and what was wrong with it. */
export const deadLetter = (
  raw: RawRecord,
  topic: string,
  stage: string,
  code: string,
  message: string,
): Write => ({
  topic,
  partition: null,
  key: raw.key,
  value: raw.value,
  headers: {
    ...carried(raw.headers),
    [DEAD_LETTER_HEADERS.topic]: Buffer.from(raw.at.topic),
    [DEAD_LETTER_HEADERS.partition]: Buffer.from(raw.at.partition.toString()),
    [DEAD_LETTER_HEADERS.offset]: Buffer.from(raw.at.offset.toString()),
    [DEAD_LETTER_HEADERS.stage]: Buffer.from(stage),
    [DEAD_LETTER_HEADERS.code]: Buffer.from(code),
    [DEAD_LETTER_HEADERS.message]: Buffer.from(message.slice(0, MAX_MESSAGE_LENGTH)),
  },
});
