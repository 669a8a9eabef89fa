// @ts-check
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';

const askForMs = 5_000;

/**
 * One command to a Redis, after AUTH when its URL has a password.
 * @param {string} url redis:// or rediss://
 * @param {string[]} command
 * @returns {Promise<string | null>} the raw answer; null when there was none
 */
export function askRedis(url, command) {
  const { protocol, hostname, port, username, password } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '');
  const auth = password
    ? [['AUTH', ...(username ? [decodeURIComponent(username)] : []), decodeURIComponent(password)]]
    : [];
  const commands = [...auth, command];
  const where = { host, port: Number(port || 6379), timeout: askForMs };
  return new Promise((resolve) => {
    let received = '';
    const socket =
      protocol === 'rediss:' ? connectTls({ ...where, servername: host }) : connect(where);
    const end = (/** @type {string | null} */ answer) => {
      socket.destroy();
      resolve(answer);
    };
    socket.on(protocol === 'rediss:' ? 'secureConnect' : 'connect', () =>
      socket.write(commands.map(encode).join('')),
    );
    socket.on('data', (chunk) => {
      received += chunk.toString();
      const lines = received.split('\r\n').slice(0, -1);
      if (lines.length >= commands.length) end(lines[commands.length - 1] ?? null);
    });
    socket.on('error', () => end(null));
    socket.on('close', () => end(null));
    socket.on('timeout', () => end(null));
  });
}

/** @param {string[]} words */
const encode = (words) =>
  `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`;
