// @ts-check
import { connect } from 'node:net';

/**
 * Readiness of a Kafka cluster, asked in its own protocol: a broker opens its port before it is
 * registered, and only the registered ones are in a metadata answer. By hand, because it is
 * sixty bytes, and a second `up` would spend half its time loading a client.
 */

const askForMs = 5_000;
const metadataRequest = frame([int16(3), int16(1), int32(1), text('millrace'), int32(0)]);

/**
 * @param {string} brokers "host:port,host:port"
 * @returns {Promise<boolean>} whether one of them answers with at least one registered broker
 */
export async function askBrokers(brokers) {
  for (const broker of brokers.split(',')) {
    const answer = await metadata(broker.trim());
    if (answer !== null && brokerCount(answer) > 0) return true;
  }
  return false;
}

/**
 * @param {string} broker
 * @returns {Promise<Buffer | null>}
 */
function metadata(broker) {
  const [, host, port] = broker.match(/^(?:\w+:\/\/)?\[?(.*?)\]?:(\d+)$/) ?? [];
  if (host === undefined) return Promise.resolve(null);
  return new Promise((resolve) => {
    let received = Buffer.alloc(0);
    const socket = connect({ host, port: Number(port), timeout: askForMs });
    const end = (/** @type {Buffer | null} */ answer) => {
      socket.destroy();
      resolve(answer);
    };
    socket.on('connect', () => socket.write(metadataRequest));
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (received.length >= 4 && received.length >= 4 + received.readInt32BE(0)) end(received);
    });
    socket.on('error', () => end(null));
    socket.on('close', () => end(null));
    socket.on('timeout', () => end(null));
  });
}

/**
 * @param {Buffer} answer length, correlation id, then the array of brokers
 */
const brokerCount = (answer) => (answer.length >= 12 ? answer.readInt32BE(8) : 0);

/** @param {Buffer[]} parts */
function frame(parts) {
  const body = Buffer.concat(parts);
  return Buffer.concat([int32(body.length), body]);
}

/** @param {number} value */
function int16(value) {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

/** @param {number} value */
function int32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

/** @param {string} value */
function text(value) {
  return Buffer.concat([int16(Buffer.byteLength(value)), Buffer.from(value)]);
}
