// @ts-check
import { components } from './components.mjs';
import { endpoints, stackVariables } from './endpoints.mjs';
import { writeEnvFile } from './env-file.mjs';
import { runsSecured, securedVariables, writeRoleFiles } from './kafka-secured.mjs';
import { withLock } from './lock.mjs';
import { describe, OperatorError } from './operator-error.mjs';
import { makeStackDirs, logFile } from './paths.mjs';
import { portBase, portsFrom, refuseClashes } from './ports.mjs';
import { isAlive } from './process-identity.mjs';
import { lastWords, running, start } from './supervision.mjs';
import { DeadlineError, until } from './wait.mjs';
/** @import { Component, StartContext } from './components.mjs' */
/** @import { Endpoint } from './endpoints.mjs' */
/** @import { Progress } from './progress.mjs' */

const answerDeadlineMs = 30_000;
const lockDeadlineMs = 20 * 60_000;

/** The port base of what runs in this checkout; null when nothing does. */
export const runningBase = () =>
  components.map(({ name }) => running(name)?.portBase).find((base) => base !== undefined) ?? null;

/** Components that run now, started from this checkout. */
export const runningNames = () =>
  new Set(components.map(({ name }) => name).filter((name) => running(name) !== null));

/**
 * Starts what doesn't run, checks what does or is replaced, and writes `.stack/env`.
 * @param {{ progress: Progress, env?: NodeJS.ProcessEnv, signal?: AbortSignal | undefined, secure?: boolean }} options
 *   secure: Kafka with SASL, TLS and access rules; absent: as it runs, or without
 * @returns {Promise<{ started: string[], variables: Record<string, string> }>} started: by this call
 */
export async function up({ progress, env = process.env, signal, secure }) {
  makeStackDirs();
  const onWait = (/** @type {number} */ pid) =>
    progress.say(`stack            waiting for process ${pid}, which is at work on it`);
  return withLock('stack', { deadlineMs: lockDeadlineMs, onWait }, async () => {
    const base = portBase(env, runningBase());
    const ports = portsFrom(base);
    const where = endpoints(env, ports);
    refuseMove(base);
    const secured = kafkaMode(secure);
    const missing = components.filter(({ name }) => !where[name].external && !running(name));
    await refuseClashes(missing.flatMap((component) => component.ports(ports)));

    const context = { ports, progress, signal, base, secure: secured };
    const outcomes = await Promise.allSettled(
      components.map((component) =>
        missing.includes(component)
          ? bringUp(component, where[component.name].url, context)
          : check(component, where[component.name], context),
      ),
    );
    const failures = outcomes.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
    if (failures.length > 0) throw together(failures, signal);
    const variables = {
      ...stackVariables(env, where),
      ...(secured && !where.kafka.external ? securedVariables() : {}),
    };
    if (secured) writeRoleFiles();
    writeEnvFile(variables);
    return { started: missing.map(({ name }) => name), variables };
  });
}

/**
 * Whether Kafka is to have security on. What runs is not changed under anyone's feet.
 * @param {boolean | undefined} asked
 */
function kafkaMode(asked) {
  if (!running('kafka')) return asked ?? false;
  const runs = runsSecured();
  if (asked === undefined || asked === runs) return runs;
  throw new OperatorError(
    `kafka runs ${runs ? 'with' : 'without'} security, asked for is ${asked ? 'with' : 'without'}`,
    `Stop it first: npm run stack down && npm run stack up${asked ? ' -- --secure' : ''}`,
  );
}

/** @param {number} base */
function refuseMove(base) {
  const moved = components
    .flatMap(({ name }) => running(name) ?? [])
    .find((one) => one.portBase !== base);
  if (!moved) return;
  throw new OperatorError(
    `${moved.name} runs with port base ${moved.portBase}, asked for is ${base}`,
    'Stop it first (npm run stack down), or unset MILLRACE_PORT_BASE to use it where it is.',
  );
}

/**
 * @param {Component} component
 * @param {string} url
 * @param {StartContext & { base: number }} context
 */
async function bringUp(component, url, context) {
  const { name, version, startDeadlineMs } = component;
  const { progress, signal } = context;
  const launch = await progress.step(
    name,
    async () => {
      const startedAt = performance.now();
      const how = await component.launch(context);
      return { how, slow: performance.now() - startedAt > 2_000 };
    },
    ({ slow }) => (slow ? 'fetched and prepared' : null),
  );
  signal?.throwIfAborted();
  await progress.step(
    name,
    async () => {
      const record = await start(name, launch.how, context.base);
      let died = false;
      await until(
        async () => {
          died = !isAlive(record);
          return died || component.ready(url);
        },
        { deadlineMs: startDeadlineMs, signal },
      ).catch((error) => {
        throw error instanceof DeadlineError ? notReady(name, startDeadlineMs) : error;
      });
      if (died) throw diedAtStart(name);
      await component.afterStart?.(url);
    },
    () => `${version} up`,
  );
}

/**
 * @param {Component} component
 * @param {Endpoint} endpoint
 * @param {{ progress: Progress, signal?: AbortSignal | undefined }} context
 */
async function check({ name, ready }, { url, variable, external }, { progress, signal }) {
  const deadlineMs = answerDeadlineMs;
  await until(() => ready(url), { deadlineMs, everyMs: 200, signal }).catch((error) => {
    if (!(error instanceof DeadlineError)) throw error;
    throw external
      ? new OperatorError(
          `${name}: ${withoutPassword(url)} (from ${variable}) does not answer within ${deadlineMs / 1000} s`,
          `Start it or correct the address; without ${variable} the stack starts its own.`,
        )
      : notReady(name, deadlineMs);
  });
  if (external) progress.say(`${name.padEnd(16)} replaced by ${variable}, answers`);
}

/** @param {string} name */
const diedAtStart = (name) =>
  new OperatorError(
    `${name}: it ended while starting; above are the last lines of ${logFile(name)}`,
    'Run again; if it repeats, npm run stack reset forgets its data.',
    lastWords(name),
  );

/**
 * @param {string} name
 * @param {number} deadlineMs
 */
const notReady = (name, deadlineMs) =>
  new OperatorError(
    `${name}: it runs but does not answer within ${deadlineMs / 1000} s; its log: ${logFile(name)}`,
    'Stop and start it: npm run stack down && npm run stack up',
    lastWords(name),
  );

/**
 * @param {unknown[]} failures
 * @param {AbortSignal | undefined} signal
 */
function together(failures, signal) {
  if (signal?.aborted)
    return new OperatorError('interrupted', 'npm run stack down stops what was started.');
  if (failures.length === 1) return failures[0];
  return new OperatorError(failures.map(describe).join('\n'));
}

/** @param {string} url */
export const withoutPassword = (url) => url.replace(/(:\/\/[^:/@]*):[^@]*@/, '$1:…@');
