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

/** Error texts are for people; a hostile record must not make them long. */
const MAX_MESSAGE_LENGTH = 500;

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
    ...raw.headers,
    [DEAD_LETTER_HEADERS.topic]: Buffer.from(raw.at.topic),
    [DEAD_LETTER_HEADERS.partition]: Buffer.from(raw.at.partition.toString()),
    [DEAD_LETTER_HEADERS.offset]: Buffer.from(raw.at.offset.toString()),
    [DEAD_LETTER_HEADERS.stage]: Buffer.from(stage),
    [DEAD_LETTER_HEADERS.code]: Buffer.from(code),
    [DEAD_LETTER_HEADERS.message]: Buffer.from(message.slice(0, MAX_MESSAGE_LENGTH)),
  },
});
