// @ts-check
import { rm } from 'node:fs/promises';
import { components } from './components.mjs';
import { endpoints } from './endpoints.mjs';
import { removeEnvFile } from './env-file.mjs';
import { withLock } from './lock.mjs';
import { stackDir } from './paths.mjs';
import { portsFrom } from './ports.mjs';
import { removeOutside } from './postgres-home.mjs';
import { running, stop } from './supervision.mjs';
/** @import { Component } from './components.mjs' */
/** @import { Progress } from './progress.mjs' */

const lockDeadlineMs = 60_000;

/**
 * Stops what we started, by process id. Data stays.
 * @param {{ progress: Progress, except?: ReadonlySet<string> }} options
 * @returns {Promise<number>} how many were stopped
 */
export const down = ({ progress, except = new Set() }) =>
  withLock('stack', { deadlineMs: lockDeadlineMs }, () => stopAll(progress, except));

/**
 * Stops everything and forgets data, logs and addresses.
 * @param {{ progress: Progress }} options
 */
export const reset = ({ progress }) =>
  withLock('stack', { deadlineMs: lockDeadlineMs }, async () => {
    const count = await stopAll(progress, new Set());
    // Not the whole of .stack: our lock is in it, and so are the stamps of set-up.
    const parts = ['data', 'logs', 'run', 'secure'].map((name) => `${stackDir}/${name}`);
    await Promise.all(parts.map((path) => rm(path, { recursive: true, force: true })));
    await removeOutside();
    return count;
  });

/**
 * @param {Progress} progress
 * @param {ReadonlySet<string>} except
 */
async function stopAll(progress, except) {
  const stopped = components.filter(({ name }) => !except.has(name));
  // First: whoever reads it must not be sent to a stack that is going.
  if (stopped.length > 0) removeEnvFile();
  const outcomes = await Promise.allSettled(
    stopped.map((component) =>
      progress.step(
        component.name,
        () => stopOne(component),
        (how) => (how === 'not running' ? null : how),
      ),
    ),
  );
  const failed = outcomes.find((one) => one.status === 'rejected');
  if (failed) throw failed.reason;
  return outcomes.filter((one) => one.status === 'fulfilled' && one.value !== 'not running').length;
}

/** @param {Component} component */
async function stopOne({ name, beforeStop, stop: how }) {
  const record = running(name);
  if (!record) return stop(name, how);
  await beforeStop?.(endpoints({}, portsFrom(record.portBase))[name].url);
  const outcome = await stop(name, how);
  // Redis ends by itself once it is told to save.
  return outcome === 'not running' ? 'stopped' : outcome;
}
