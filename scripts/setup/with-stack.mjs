// @ts-check
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { down } from '../../infra/stack/down.mjs';
import { OperatorError } from '../../infra/stack/operator-error.mjs';
import { root } from '../../infra/stack/paths.mjs';
import { progressFor } from '../../infra/stack/progress.mjs';
import { runningNames, up } from '../../infra/stack/up.mjs';
import { onInterrupt } from './interrupt.mjs';
import { interruptCode, runChild } from './run-child.mjs';
import { setUp } from './set-up.mjs';

/**
 * Set-up, stack, then the program with the stack's addresses; what this started is stopped at the
 * end, however it ends, unless --keep.
 * @param {{ program: string, usage: string, keeps?: boolean }} what program: its compiled path, from the root;
 *   keeps: it knows --keep too, and leaves what it started
 * @param {string[]} args
 * @returns {Promise<number>} the program's exit code
 */
export async function withStack({ program, usage, keeps = false }, args) {
  const path = join(root, program);
  const passed = keeps ? args : args.filter((arg) => arg !== '--keep');
  if (args.includes('--help') || args.includes('-h')) return help({ path, usage }, passed);

  const progress = progressFor(args);
  await setUp({ progress, for: 'run' });
  requireProgram(path);
  const signal = onInterrupt();
  const before = runningNames();
  try {
    const { variables } = await up({ progress, signal });
    const { code } = await runChild(process.execPath, [path, ...passed], {
      cwd: root,
      env: { ...process.env, ...variables },
      signal,
    });
    return signal.aborted ? interruptCode(signal) : code;
  } catch (error) {
    if (!signal.aborted) throw error;
    progress.say('interrupted');
    return interruptCode(signal);
  } finally {
    if (args.includes('--keep')) progress.say('stack            kept; npm run stack down stops it');
    else await down({ progress, except: before });
  }
}

/**
 * @param {{ path: string, usage: string }} what
 * @param {string[]} args
 */
async function help({ path, usage }, args) {
  process.stdout.write(usage);
  if (!isThere(path)) return 0;
  const signal = onInterrupt();
  const { code } = await runChild(process.execPath, [path, ...args], {
    cwd: root,
    env: process.env,
    signal,
  });
  return code;
}

/** @param {string} path */
function requireProgram(path) {
  if (isThere(path)) return;
  throw new OperatorError(
    `${path} is not there`,
    'Delete dist/ and run again; its source may be missing.',
  );
}

/** @param {string} path */
const isThere = (path) => statSync(path, { throwIfNoEntry: false }) !== undefined;
