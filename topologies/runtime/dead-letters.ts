import { isUtf8 } from 'node:buffer';
import type { Headers } from '../../schemas/record.js';
import type { HeaderList, RawRecord, Write } from './raw-record.js';
import { sizeOf } from './topic-limits.js';

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

/**
 * Bytes of a value that is left out because the dead letter would be larger than its topic takes; it lies where the
 * other headers say, as long as that topic keeps it.
 */
export const OMITTED_VALUE = 'millrace-omitted-value-bytes';

const isText = (value: Buffer): boolean => isUtf8(value) && !value.includes(0);

/** Original headers in a form that survives being written. */
const carried = (all: HeaderList): { readonly list: HeaderList; readonly base64: Headers } => {
  // All values of a name, so that one who reads it decodes all or none.
  const binary = new Set(all.flatMap(([name, value]) => (isText(value) ? [] : [name])));
  if (binary.size === 0) return { list: all, base64: {} };
  return {
    list: all.map(([name, value]) =>
      binary.has(name) ? [name, Buffer.from(value.toString('base64'))] : [name, value],
    ),
    base64: { [BASE64_HEADERS]: Buffer.from(JSON.stringify([...binary])) },
  };
};

/** Our own names are ours: a record that brings them is not believed. */
const isOurs = (name: string): boolean =>
  name === BASE64_HEADERS ||
  name === OMITTED_VALUE ||
  (Object.values(DEAD_LETTER_HEADERS) as readonly string[]).includes(name);

/** Names that occur once, and all values of the others. */
const split = (list: HeaderList): Pick<Write, 'headers' | 'moreHeaders'> => {
  const times = new Map<string, number>();
  for (const [name] of list) times.set(name, (times.get(name) ?? 0) + 1);
  const once = list.filter(([name]) => times.get(name) === 1);
  const more = list.filter(([name]) => times.get(name) !== 1);
  return { headers: Object.fromEntries(once), ...(more.length > 0 && { moreHeaders: more }) };
};

/**
 * The original key, value and headers, and where it lay and what was wrong with it.
 * @param maxBytes what the topic takes
 */
export const deadLetter = (
  raw: RawRecord,
  topic: string,
  stage: string,
  code: string,
  message: string,
  maxBytes = Number.POSITIVE_INFINITY,
): Write => {
  const original = (raw.allHeaders ?? Object.entries(raw.headers)).filter(
    ([name]) => !isOurs(name),
  );
  const { list, base64 } = carried(original);
  const { headers, moreHeaders } = split(list);
  const where = {
    [DEAD_LETTER_HEADERS.topic]: Buffer.from(raw.at.topic),
    [DEAD_LETTER_HEADERS.partition]: Buffer.from(raw.at.partition.toString()),
    [DEAD_LETTER_HEADERS.offset]: Buffer.from(raw.at.offset.toString()),
    [DEAD_LETTER_HEADERS.stage]: Buffer.from(stage),
    [DEAD_LETTER_HEADERS.code]: Buffer.from(code),
    [DEAD_LETTER_HEADERS.message]: Buffer.from(message.slice(0, MAX_MESSAGE_LENGTH)),
  };
  const whole: Write = {
    topic,
    partition: null,
    key: raw.key,
    value: raw.value,
    headers: { ...headers, ...base64, ...where },
    ...(moreHeaders && { moreHeaders }),
  };
  if (sizeOf(whole) <= maxBytes) return whole;
  // Headers or the key may be what is large: only what is ours is left. That it is here matters more than that it is
  // whole.
  const omitted = Buffer.from(String(raw.value?.length ?? 0));
  return {
    topic,
    partition: null,
    key: null,
    value: null,
    headers: { ...where, [OMITTED_VALUE]: omitted },
  };
};
