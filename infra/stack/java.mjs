// @ts-check
import { readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { onPath } from './on-path.mjs';

/** Kafka 4 brokers need it. */
export const oldestJava = 17;

/** The `java` to run: JAVA_HOME's when set, as Maven does. */
export const javaCommand = (env = process.env) =>
  env['JAVA_HOME'] ? join(env['JAVA_HOME'], 'bin', 'java') : 'java';

/**
 * Major version of the JDK, from the `release` file every one has: starting it to ask would take
 * longer than all else a second `up` does. Null without a compiler: a JRE won't do for Maven's tests.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {number | null}
 */
export function javaVersion(env = process.env) {
  const compiler = env['JAVA_HOME'] ? join(env['JAVA_HOME'], 'bin', 'javac') : onPath('javac', env);
  if (compiler === null) return null;
  try {
    const home = dirname(dirname(realpathSync(compiler)));
    const release = readFileSync(join(home, 'release'), 'utf8');
    return majorOf(release.match(/^JAVA_VERSION="(.+?)"/m)?.[1] ?? '');
  } catch {
    return null;
  }
}

/** @param {string} version "17.0.15", or "1.8.0_402" for what everyone calls 8 */
export function majorOf(version) {
  const [first, second] = version.split('.').map((part) => Number.parseInt(part, 10));
  const major = first === 1 ? second : first;
  return major !== undefined && Number.isInteger(major) ? major : null;
}
