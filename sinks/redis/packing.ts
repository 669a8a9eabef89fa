import type { Coordinates } from '../../schemas/record.js';

/** A record as first-seen.lua takes it. */
export interface Packable {
  /** 16 bytes. */
  readonly key: Buffer;
  /** 8 bytes; absent where only the coordinates matter. */
  readonly content?: Buffer;
  /** Canonical UUID; absent likewise. */
  readonly messageId?: string;
  readonly at: Coordinates;
}

const KEY = 16;
const CONTENT = 8;
const MESSAGE = 16;
const PARTITION = 4;
const OFFSET = 8;
/** What is kept, before the topic's name. */
const VALUE = CONTENT + MESSAGE + PARTITION + OFFSET;
const RECORD = KEY + VALUE + 1;

/** One byte names a topic: batches come from one lane's few topics. */
const MAX_TOPICS = 255;

/** The topics named once, and all records in one buffer: a script argument each would cost more than the script. */
export const pack = (
  records: readonly Packable[],
): { readonly topics: readonly string[]; readonly packed: Buffer } => {
  const topics: string[] = [];
  const packed = Buffer.alloc(records.length * RECORD);
  let position = 0;
  for (const { key, content, messageId, at } of records) {
    let place = topics.indexOf(at.topic) + 1;
    if (place === 0) place = topics.push(at.topic);
    if (place > MAX_TOPICS) throw new RangeError(`over ${MAX_TOPICS} topics in one batch`);
    key.copy(packed, position);
    content?.copy(packed, position + KEY);
    if (messageId !== undefined)
      packed.write(messageId.replaceAll('-', ''), position + KEY + CONTENT, MESSAGE, 'hex');
    packed.writeUInt32BE(at.partition, position + KEY + CONTENT + MESSAGE);
    packed.writeBigUInt64BE(BigInt(at.offset), position + KEY + CONTENT + MESSAGE + PARTITION);
    packed.writeUInt8(place, position + KEY + VALUE);
    position += RECORD;
  }
  return { topics, packed };
};

/** What is kept under a key. */
export const unpack = (
  kept: Buffer,
): { readonly content: Buffer; readonly messageId: string; readonly at: Coordinates } => {
  const id = kept.toString('hex', CONTENT, CONTENT + MESSAGE);
  return {
    content: kept.subarray(0, CONTENT),
    messageId: [
      id.slice(0, 8),
      id.slice(8, 12),
      id.slice(12, 16),
      id.slice(16, 20),
      id.slice(20),
    ].join('-'),
    at: {
      topic: kept.toString('utf8', VALUE),
      partition: kept.readUInt32BE(CONTENT + MESSAGE),
      offset: Number(kept.readBigUInt64BE(CONTENT + MESSAGE + PARTITION)),
    },
  };
};
