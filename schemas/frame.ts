/** Confluent's wire format: a zero byte, the registry's schema id as 4 bytes big-endian, then Avro's bytes. */
export const FRAME_BYTES = 5;
const MAGIC = 0;

export const isFramed = (bytes: Buffer): boolean =>
  bytes.length >= FRAME_BYTES && bytes[0] === MAGIC;

/** The schema id of a framed value, -1 for anything else. */
export const schemaIdOf = (bytes: Buffer | null | undefined): number =>
  bytes != null && isFramed(bytes) ? bytes.readUInt32BE(1) : -1;

/** Writes the frame to the beginning of a buffer. */
export const writeFrame = (buffer: Buffer, schemaId: number): void => {
  buffer[0] = MAGIC;
  buffer.writeUInt32BE(schemaId, 1);
};
