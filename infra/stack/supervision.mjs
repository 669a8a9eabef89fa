// @ts-check
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  fstatSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { codeOf, messageOf, OperatorError } from './operator-error.mjs';
import { logFile, makeStackDirs, runDir } from './paths.mjs';
import { identityOf, isAlive } from './process-identity.mjs';
import { until } from './wait.mjs';

/**
 * What we remember of a process we started.
 * @typedef {{ name: string, pid: number, identity: string, startedAt: string, portBase: number,
 *   logFrom: number }} ProcessRecord
 *   logFrom: size of its log before it wrote to it
 *
 * @typedef {{ command: string, args: string[], cwd?: string, env?: NodeJS.ProcessEnv,
 *   argv0?: string, uid?: number, gid?: number }} Launch
 */

const maxLogBytes = 20 * 1024 * 1024;

/** @param {string} name */
const recordFile = (name) => join(runDir, `${name}.json`);

/**
 * @param {string} name
 * @returns {ProcessRecord | null}
 */
export function recordOf(name) {
  try {
    return JSON.parse(readFileSync(recordFile(name), 'utf8'));
  } catch {
    return null;
  }
}

/**
 * The record, if its process lives.
 * @param {string} name
 */
export function running(name) {
  const record = recordOf(name);
  return record && isAlive(record) ? record : null;
}

/**
 * Starts a process that outlives us: its own session, so a Ctrl-C here doesn't reach it, and
 * nothing of our stdio, so a pipe we write to can close.
 * @param {string} name
 * @param {Launch} launch
 * @param {number} portBase
 * @returns {Promise<ProcessRecord>}
 */
export async function start(name, launch, portBase) {
  makeStackDirs();
  const { command, args, ...options } = launch;
  const log = openLog(name);
  const logFrom = fstatSync(log).size;
  try {
    const child = spawn(command, args, { ...options, detached: true, stdio: ['ignore', log, log] });
    await once(child, 'spawn');
    child.unref();
    // spawn has seen a pid; if it died in between, readiness finds that out.
    const pid = /** @type {number} */ (child.pid);
    const record = {
      name,
      pid,
      identity: identityOf(pid) ?? 'gone',
      startedAt: new Date().toISOString(),
      portBase,
      logFrom,
    };
    writeFileSync(recordFile(name), `${JSON.stringify(record)}\n`);
    return record;
  } catch (cause) {
    throw new OperatorError(`${name}: ${command} could not be started: ${messageOf(cause)}`);
  } finally {
    closeSync(log);
  }
}

/**
 * Signals only a process that is provably the recorded one.
 * @param {string} name
 * @param {{ signal: NodeJS.Signals, graceMs: number }} how
 * @returns {Promise<'stopped' | 'killed' | 'not running'>}
 */
export async function stop(name, { signal, graceMs }) {
  const record = running(name);
  if (!record) {
    rmSync(recordFile(name), { force: true });
    return 'not running';
  }
  send(record.pid, signal);
  const ended = await until(() => !isAlive(record), { deadlineMs: graceMs, everyMs: 20 }).then(
    () => true,
    () => false,
  );
  if (!ended) {
    // Its whole group: Postgres' children would otherwise hold the data directory.
    send(-record.pid, 'SIGKILL');
    await until(() => !isAlive(record), { deadlineMs: 5_000 }).catch(() => {
      throw new OperatorError(`${name}: process ${record.pid} does not end, even killed`);
    });
  }
  rmSync(recordFile(name), { force: true });
  return ended ? 'stopped' : 'killed';
}

/**
 * @param {number} pid
 * @param {NodeJS.Signals} signal
 */
function send(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (codeOf(error) !== 'ESRCH') throw error;
  }
}

/** @param {string} name */
function openLog(name) {
  const path = logFile(name);
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > maxLogBytes) {
    renameSync(path, `${path}.1`);
  }
  return openSync(path, 'a');
}

/**
 * @param {string} name
 * @param {number} count
 * @param {number} [from] size of the log at the time that is of interest
 */
export function lastLogLines(name, count, from = 0) {
  try {
    const text = readFileSync(logFile(name)).subarray(from).toString();
    return text.trimEnd().split('\n').slice(-count);
  } catch {
    return [];
  }
}

/**
 * What a process said last since it was started, without the frames of a Java stack: they fill the
 * screen and push the reason off it.
 * @param {string} name
 */
export function lastWords(name) {
  const lines = lastLogLines(name, 200, recordOf(name)?.logFrom);
  return lines.filter((line) => !/^\s+(at |\.\.\. \d)/.test(line)).slice(-12);
}
