import { FORMATS, type Format } from '../../schemas/formats.js';
import type { MessageRouted } from '../../schemas/generated/records.js';
import { headerOf } from '../../schemas/internal-codec.js';
import type { Codec } from '../../schemas/record.js';
import type { Claim } from './claim.js';

/** In version 1 the version's byte stands alone before the fields; in 2 the header of all internal values does. */
const BARE = 1;
/** claimedAt, deadline, partition, offset, length of the topic's name. */
const FIELDS_BYTES = 8 + 8 + 4 + 8 + 2;

/**
 * Claims as they lie in their changelog: fixed fields, then the routed record in its own codec, whose kept bytes are
 * appended and not encoded again. A claim is written per message: this is the hot path.
 */
export const claimCodec = (
  routed: Codec<MessageRouted>,
  format: Format = FORMATS.claims,
): Codec<Claim> => {
  const header = headerOf(format, BARE);
  const topicOf = (bytes: Buffer): { readonly from: number; readonly to: number } => {
    const from = header.read(bytes) + FIELDS_BYTES;
    return { from, to: from + bytes.readUInt16LE(from - 2) };
  };
  return {
    encode: (claim) => {
      const value = routed.encode(claim.routed);
      const topicBytes = Buffer.byteLength(claim.at.topic);
      const at = header.bytes;
      const bytes = Buffer.allocUnsafe(at + FIELDS_BYTES + topicBytes + value.length);
      header.write(bytes);
      bytes.writeDoubleLE(claim.claimedAt, at);
      bytes.writeDoubleLE(claim.deadline, at + 8);
      bytes.writeInt32LE(claim.at.partition, at + 16);
      bytes.writeDoubleLE(claim.at.offset, at + 20);
      bytes.writeUInt16LE(topicBytes, at + 28);
      bytes.write(claim.at.topic, at + FIELDS_BYTES);
      value.copy(bytes, at + FIELDS_BYTES + topicBytes);
      return bytes;
    },
    decode: (bytes) => {
      const topic = topicOf(bytes);
      const at = topic.from - FIELDS_BYTES;
      return {
        claimedAt: bytes.readDoubleLE(at),
        deadline: bytes.readDoubleLE(at + 8),
        at: {
          partition: bytes.readInt32LE(at + 16),
          offset: bytes.readDoubleLE(at + 20),
          topic: bytes.toString('utf8', topic.from, topic.to),
        },
        routed: routed.decode(bytes.subarray(topic.to)),
      };
    },
    framed: (bytes) => bytes.subarray(topicOf(bytes).to),
  };
};
