import type { EpochMs } from './brand.js';
import { PipelineError } from './error.js';
import { FORMATS } from './formats.js';
import { HEADER_BYTES, versioned } from './internal-codec.js';
import type { Codec } from './record.js';

/** Bytes of one id: a cryptographic hash, cut, so that its bits are spread and nobody can aim at another's. */
export const ID_BYTES = 16;

/** Ids that one transaction added to an id set, packed: 16 bytes each, and 12 bytes for all of them together. */
export interface IdBatch {
  /** When they were added: says when they expire. */
  readonly addedAt: EpochMs;
  /** One after the other. */
  readonly ids: Buffer;
}

const TIME_BYTES = 8;

/** Format 1: the header of internal values, addedAt as a little-endian double, the ids. */
export const idBatchCodec = (): Codec<IdBatch> =>
  versioned<IdBatch>(
    FORMATS.ids,
    ({ addedAt, ids }) => {
      if (ids.length % ID_BYTES !== 0)
        throw new PipelineError('unencodable', `ids have ${ID_BYTES} bytes each: ${ids.length}`);
      const bytes = Buffer.allocUnsafe(HEADER_BYTES + TIME_BYTES + ids.length);
      bytes.writeDoubleLE(addedAt, HEADER_BYTES);
      bytes.set(ids, HEADER_BYTES + TIME_BYTES);
      return bytes;
    },
    (bytes): IdBatch => {
      const ids = bytes.subarray(HEADER_BYTES + TIME_BYTES);
      if (bytes.length < HEADER_BYTES + TIME_BYTES || ids.length % ID_BYTES !== 0)
        throw new PipelineError('undecodable', `a batch of ids was cut: ${bytes.length} bytes`);
      return { addedAt: bytes.readDoubleLE(HEADER_BYTES), ids };
    },
    undefined,
  );
