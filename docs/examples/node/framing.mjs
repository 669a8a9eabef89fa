// Confluent's wire format around Avro: a zero byte, the schema id (4 bytes, big-endian), the record.
import avsc from 'avsc';

/**
 * Id and type of a topic's values. Reads only: registering is the operator's.
 * @param {string} registry base URL of the Confluent API
 * @param {string} topic
 */
export async function latestSchema(registry, topic) {
  const subject = encodeURIComponent(`${topic}-value`);
  const address = `${registry.replace(/\/+$/, '')}/subjects/${subject}/versions/latest`;
  const answer = await fetch(address, { signal: AbortSignal.timeout(10_000) });
  if (!answer.ok) throw new Error(`${address}: ${answer.status} ${await answer.text()}`);
  const { id, schema } = await answer.json();
  return { id, type: avsc.Type.forSchema(JSON.parse(schema)) };
}

/**
 * Absent optional fields take their defaults. Long fields are numbers here: exact up to 2^52.
 * @param {{ id: number, type: import('avsc').Type }} schema
 * @param {unknown} record
 */
export function encode({ id, type }, record) {
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(id, 1);
  return Buffer.concat([frame, type.toBuffer(record)]);
}
