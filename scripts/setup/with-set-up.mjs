// @ts-check
import { join } from 'node:path';
import { root } from '../../infra/stack/paths.mjs';
import { progressFor } from '../../infra/stack/progress.mjs';
import { onInterrupt } from './interrupt.mjs';
import { interruptCode, runChild } from './run-child.mjs';
import { setUp } from './set-up.mjs';

/**
 * Set-up, then a program that needs no stack, or starts servers of its own.
 * @param {string} program its compiled path, from the root
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<number>} the program's exit code
 */
export async function withSetUp(program, args, env = process.env) {
  await setUp({ progress: progressFor(args), for: 'run' });
  const signal = onInterrupt();
  const { code } = await runChild(process.execPath, [join(root, program), ...args], {
    cwd: root,
    env,
    signal,
  });
  return signal.aborted ? interruptCode(signal) : code;
}
