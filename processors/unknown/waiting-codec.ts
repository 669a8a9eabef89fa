import { FORMATS, type Format } from '../../schemas/formats.js';
import type { MessageRouted } from '../../schemas/generated/records.js';
import { headerOf } from '../../schemas/internal-codec.js';
import type { Codec } from '../../schemas/record.js';
import type { Waiting } from './contract.js';

/** In version 1 the version's byte stands alone before the fields; in 2 the header of all internal values does. */
const BARE = 1;
/** heldAt, nextAt, asked. */
const FIELDS_BYTES = 8 + 8 + 4;

/** Held attempts as they lie in their changelog: fixed fields, then the routed record in its own codec. */
export const waitingCodec = (
  routed: Codec<MessageRouted>,
  format: Format = FORMATS.heldAttempts,
): Codec<Waiting> => {
  const header = headerOf(format, BARE);
  const routedIn = (bytes: Buffer): Buffer => bytes.subarray(header.read(bytes) + FIELDS_BYTES);
  return {
    encode: (waiting) => {
      const at = header.bytes;
      const head = Buffer.alloc(at + FIELDS_BYTES);
      header.write(head);
      head.writeDoubleLE(waiting.heldAt, at);
      head.writeDoubleLE(waiting.nextAt, at + 8);
      head.writeUInt32LE(waiting.asked, at + 16);
      return Buffer.concat([head, routed.encode(waiting.routed)]);
    },
    decode: (bytes) => {
      const at = header.read(bytes);
      return {
        heldAt: bytes.readDoubleLE(at),
        nextAt: bytes.readDoubleLE(at + 8),
        asked: bytes.readUInt32LE(at + 16),
        routed: routed.decode(routedIn(bytes)),
      };
    },
    framed: routedIn,
  };
};
