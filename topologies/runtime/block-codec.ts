import { PipelineError } from '../../schemas/error.js';

/**
 * First byte of a block. 1 is the first byte of the single entries that releases before blocks wrote (a claim each):
 * such a release stops at a block instead of misreading it.
 */
const VERSION = 2;
/** Version, number of entries. */
const HEAD_BYTES = 1 + 4;
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

/** Many entries as one changelog record. */
export const encodeBlock = (entries: readonly BlockEntry[]): Buffer => {
  const bytes = Buffer.allocUnsafe(
    entries.reduce((sum, entry) => sum + entryBytes(entry), HEAD_BYTES),
  );
  bytes[0] = VERSION;
  bytes.writeUInt32LE(entries.length, 1);
  let at = HEAD_BYTES;
  for (const { key, value } of entries) {
    const keyBytes = bytes.write(key, at + LENGTH_BYTES);
    bytes.writeUInt16LE(keyBytes, at);
    bytes.writeUInt32LE(value.length, at + 2);
    value.copy(bytes, at + LENGTH_BYTES + keyBytes);
    at += LENGTH_BYTES + keyBytes + value.length;
  }
  return bytes;
};

/** Values are views of `bytes`. @throws PipelineError state_too_new, defect where it is cut short */
export const decodeBlock = (bytes: Buffer): readonly BlockEntry[] => {
  if (bytes[0] !== VERSION)
    throw new PipelineError(
      'state_too_new',
      `a block of state has format ${String(bytes[0])}, this release knows ${String(VERSION)}: run the newer release`,
    );
  const entries: BlockEntry[] = [];
  let at = HEAD_BYTES;
  try {
    for (let left = bytes.readUInt32LE(1); left > 0; left -= 1) {
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
};
