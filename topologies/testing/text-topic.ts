import type { Codec, Topic } from '../../schemas/record.js';

/** Text as it is: for tests that are not about records. */
export const textCodec: Codec<string> = {
  encode: (value) => Buffer.from(value, 'utf8'),
  decode: (bytes) => bytes.toString('utf8'),
};
export const textTopic = (name: string): Topic<string> => ({ name, codec: textCodec });

/** As the runtime holds topics: names and bytes, the record's type erased. */
export const erased = <V>(topic: Topic<V>): Topic<unknown> => topic as unknown as Topic<unknown>;
