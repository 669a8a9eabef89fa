import { PipelineError } from '../../schemas/error.js';
import type { MessageRouted } from '../../schemas/generated/records.js';
import type { Codec } from '../../schemas/record.js';
import type { Claim } from './claim.js';

/** First byte of every value; an older worker that meets a newer one stops. */
const VERSION = 1;
/** Version, claimedAt, deadline, partition, offset, length of the topic's name. */
const HEAD_BYTES = 1 + 8 + 8 + 4 + 8 + 2;

/**
 * Claims as they lie in their changelog: a fixed head, then the routed record in its own codec, whose kept bytes are
 * appended and not encoded again. A claim is written per message: this is the hot path.
 */
export const claimCodec = (routed: Codec<MessageRouted>): Codec<Claim> => ({
  encode: (claim) => {
    const value = routed.encode(claim.routed);
    const topicBytes = Buffer.byteLength(claim.at.topic);
    const bytes = Buffer.allocUnsafe(HEAD_BYTES + topicBytes + value.length);
    bytes[0] = VERSION;
    bytes.writeDoubleLE(claim.claimedAt, 1);
    bytes.writeDoubleLE(claim.deadline, 9);
    bytes.writeInt32LE(claim.at.partition, 17);
    bytes.writeDoubleLE(claim.at.offset, 21);
    bytes.writeUInt16LE(topicBytes, 29);
    bytes.write(claim.at.topic, HEAD_BYTES);
    value.copy(bytes, HEAD_BYTES + topicBytes);
    return bytes;
  },
  decode: (bytes) => {
    if (bytes[0] !== VERSION)
      throw new PipelineError(
        'state_too_new',
        `a claim has format ${String(bytes[0])}, this release knows ${String(VERSION)}: run the newer release`,
      );
    const topicEnd = HEAD_BYTES + bytes.readUInt16LE(29);
    return {
      claimedAt: bytes.readDoubleLE(1),
      deadline: bytes.readDoubleLE(9),
      at: {
        partition: bytes.readInt32LE(17),
        offset: bytes.readDoubleLE(21),
        topic: bytes.toString('utf8', HEAD_BYTES, topicEnd),
      },
      routed: routed.decode(bytes.subarray(topicEnd)),
    };
  },
});
