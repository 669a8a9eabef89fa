// @ts-check
import { createServer } from 'node:net';
import { OperatorError } from './operator-error.mjs';
import { holderOfPort } from './port-holder.mjs';

export const defaultPortBase = 29_000;

/** An unusual block: 29092 where others have 9092, so a stack beside ours doesn't meet it. */
const offsets = {
  registry: 81,
  influx: 86,
  kafka: 92,
  kafkaController: 93,
  redis: 379,
  postgres: 432,
};

/** @typedef {Record<keyof typeof offsets, number>} Ports */

/**
 * @param {number} base
 * @returns {Ports}
 */
export const portsFrom = (base) =>
  /** @type {Ports} */ (
    Object.fromEntries(Object.entries(offsets).map(([name, offset]) => [name, base + offset]))
  );

/**
 * @param {NodeJS.ProcessEnv} env
 * @param {number | null} running base of the stack that is up in this checkout
 */
export function portBase(env, running) {
  const text = env['MILLRACE_PORT_BASE'];
  if (text === undefined || text === '') return running ?? defaultPortBase;
  const base = Number(text);
  if (!Number.isInteger(base) || base < 1024 || base > 65_000) {
    throw new OperatorError(
      `MILLRACE_PORT_BASE is "${text}"`,
      'Give a whole number between 1024 and 65000, such as 31000.',
    );
  }
  return base;
}

/** @param {number} port */
const isFree = (port) =>
  new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });

/**
 * All clashes at once, so that nobody frees one port to be told of the next.
 * @param {{ port: number, purpose: string }[]} wanted
 */
export async function refuseClashes(wanted) {
  const free = await Promise.all(wanted.map(({ port }) => isFree(port)));
  const taken = wanted.filter((_, index) => !free[index]);
  if (taken.length > 0)
    throw portClash(taken.map((one) => ({ ...one, holder: holderOfPort(one.port) })));
}

/** @param {{ port: number, purpose: string, holder: string | null }[]} taken */
export function portClash(taken) {
  const lines = taken.map(
    ({ port, purpose, holder }) =>
      `port ${port} (${purpose}) is taken by ${holder ?? 'a process that could not be found out'}`,
  );
  return new OperatorError(
    lines.join('\n'),
    'End that process, or move this stack: MILLRACE_PORT_BASE=31000 npm run stack up',
  );
}
