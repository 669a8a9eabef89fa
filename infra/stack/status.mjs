// @ts-check
import { components } from './components.mjs';
import { endpoints } from './endpoints.mjs';
import { logFile } from './paths.mjs';
import { portBase, portsFrom } from './ports.mjs';
import { recordOf, running } from './supervision.mjs';
import { runningBase, withoutPassword } from './up.mjs';

/**
 * `died`: it was started and never stopped, yet is gone.
 * @typedef {'up' | 'not answering' | 'down' | 'died' | 'replaced'} State
 * @typedef {{ name: string, state: State, answers: boolean, pid: number | null, url: string, log: string | null }} ComponentStatus
 */

/**
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {Promise<ComponentStatus[]>}
 */
export function status(env = process.env) {
  const where = endpoints(env, portsFrom(portBase(env, runningBase())));
  return Promise.all(
    components.map(async ({ name, ready }) => {
      const { url, external } = where[name];
      const record = external ? null : running(name);
      const answers = external || record ? await ready(url) : false;
      return {
        name,
        state: stateOf({
          external,
          alive: record !== null,
          known: recordOf(name) !== null,
          answers,
        }),
        answers,
        pid: record?.pid ?? null,
        url: withoutPassword(url),
        log: external ? null : logFile(name),
      };
    }),
  );
}

/**
 * @param {{ external: boolean, alive: boolean, known: boolean, answers: boolean }} seen
 * @returns {State}
 */
export function stateOf({ external, alive, known, answers }) {
  if (external) return 'replaced';
  if (alive) return answers ? 'up' : 'not answering';
  return known ? 'died' : 'down';
}

/** @param {ComponentStatus[]} statuses */
export const statusTable = (statuses) =>
  statuses
    .map(({ name, state, pid, url, answers }) => {
      const said = state === 'replaced' && !answers ? 'replaced, not answering' : state;
      return [name.padEnd(10), said.padEnd(14), String(pid ?? '-').padEnd(8), url].join(' ');
    })
    .join('\n');
