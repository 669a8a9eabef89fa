// @ts-check
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/**
 * Where a command is, without starting anything.
 * @param {string} command
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {string | null}
 */
export function onPath(command, env = process.env) {
  for (const dir of (env['PATH'] ?? '').split(delimiter).filter((entry) => entry !== '')) {
    const path = join(dir, command);
    try {
      accessSync(path, constants.X_OK);
      if (statSync(path).isFile()) return path;
    } catch {
      // Not in this one.
    }
  }
  return null;
}
