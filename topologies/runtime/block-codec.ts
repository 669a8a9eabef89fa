import { PipelineError } from '../../schemas/error.js';
import { FORMATS, type Format } from '../../schemas/formats.js';
import { headerOf } from '../../schemas/internal-codec.js';
import type { Codec } from '../../schemas/record.js';

/** Up to version 2 the version's byte stands alone. Version 1, of releases before blocks, was a claim under its own key. */
const BARE = 2;
/** Number of entries. */
const COUNT_BYTES = 4;
/** Lengths of an entry's key and value. */
const LENGTH_BYTES = 2 + 4;

/** An entry of a store with its value as its own codec writes it. */
export interface BlockEntry {
  readonly key: string;
  readonly value: Buffer;
}

/** Bytes that an entry takes in a block. */
export const entryBytes = ({ key, value }: BlockEntry): number =>
  LENGTH_BYTES + Buffer.byteLength(key) + value.length;

/** Many entries as one changelog record. Decoded values are views of its bytes; one that is cut short is a `defect`. */
export const blockCodec = (format: Format = FORMATS.blocks): Codec<readonly BlockEntry[]> => {
  const header = headerOf(format, BARE);
  return {
    encode: (entries) => {
      let at = header.bytes + COUNT_BYTES;
      const bytes = Buffer.allocUnsafe(entries.reduce((sum, entry) => sum + entryBytes(entry), at));
      header.write(bytes);
      bytes.writeUInt32LE(entries.length, header.bytes);
      for (const { key, value } of entries) {
        const keyBytes = bytes.write(key, at + LENGTH_BYTES);
        bytes.writeUInt16LE(keyBytes, at);
        bytes.writeUInt32LE(value.length, at + 2);
        value.copy(bytes, at + LENGTH_BYTES + keyBytes);
        at += LENGTH_BYTES + keyBytes + value.length;
      }
      return bytes;
    },
    decode: (bytes) => {
      const countAt = header.read(bytes);
      const entries: BlockEntry[] = [];
      let at = countAt + COUNT_BYTES;
      try {
        for (let left = bytes.readUInt32LE(countAt); left > 0; left -= 1) {
          const keyEnd = at + LENGTH_BYTES + bytes.readUInt16LE(at);
          const end = keyEnd + bytes.readUInt32LE(at + 2);
          if (end > bytes.length) throw new RangeError('an entry ends behind the block');
          entries.push({
            key: bytes.toString('utf8', at + LENGTH_BYTES, keyEnd),
            value: bytes.subarray(keyEnd, end),
          });
          at = end;
        }
      } catch (cause) {
        throw new PipelineError('defect', 'a block of state is cut short', cause);
      }
      return entries;
    },
  };
};
