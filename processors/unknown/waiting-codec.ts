import { PipelineError } from '../../schemas/error.js';
import type { MessageRouted } from '../../schemas/generated/records.js';
import type { Codec } from '../../schemas/record.js';
import type { Waiting } from './contract.js';

/** First byte of every value; an older worker that meets a newer one stops. */
const VERSION = 1;
/** Version, heldAt, nextAt, asked. */
const HEAD_BYTES = 1 + 8 + 8 + 4;

/** Held attempts as they lie in their changelog: a fixed head, then the routed record in its own codec. */
export const waitingCodec = (routed: Codec<MessageRouted>): Codec<Waiting> => ({
  encode: (waiting) => {
    const head = Buffer.alloc(HEAD_BYTES);
    head[0] = VERSION;
    head.writeDoubleLE(waiting.heldAt, 1);
    head.writeDoubleLE(waiting.nextAt, 9);
    head.writeUInt32LE(waiting.asked, 17);
    return Buffer.concat([head, routed.encode(waiting.routed)]);
  },
  decode: (bytes) => {
    if (bytes[0] !== VERSION)
      throw new PipelineError(
        'state_too_new',
        `a held attempt has format ${String(bytes[0])}, this release knows ${String(VERSION)}: run the newer release`,
      );
    return {
      heldAt: bytes.readDoubleLE(1),
      nextAt: bytes.readDoubleLE(9),
      asked: bytes.readUInt32LE(17),
      routed: routed.decode(bytes.subarray(HEAD_BYTES)),
    };
  },
});
