// @ts-check
import { spawn } from 'node:child_process';
import { OperatorError } from './operator-error.mjs';

const keptBytes = 64 * 1024;

const lastLines = (/** @type {string[]} */ lines) => lines.slice(-15);

/**
 * Runs a tool to its end, quietly: its last lines (or those that `evidence` picks) are shown only
 * when it fails.
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, deadlineMs: number, signal?: AbortSignal | undefined,
 *   advice?: string, evidence?: (lines: string[]) => string[], input?: string, uid?: number, gid?: number, log?: (text: string) => void }} options
 * @returns {Promise<string>} the end of what it printed
 */
export function runCommand(
  command,
  args,
  { deadlineMs, advice, evidence = lastLines, input, log, ...options },
) {
  const shown = [command.split('/').at(-1), ...args.slice(0, 2)].join(' ');
  return new Promise((resolve, reject) => {
    let output = '';
    const child = spawn(command, args, { ...options, stdio: ['pipe', 'pipe', 'pipe'] });
    // A command that ends before it reads is no failure of ours; its exit code says what happened.
    child.stdin.on('error', () => {});
    child.stdin.end(input ?? '');
    const failed = (/** @type {string} */ how) =>
      new OperatorError(`${shown} ${how}`, advice, evidence(output.trimEnd().split('\n')));
    const deadline = setTimeout(() => {
      child.kill('SIGKILL');
      // What it started may still hold the pipes: waiting for them to close could be for ever.
      child.stdout.destroy();
      child.stderr.destroy();
      reject(failed(`was ended after ${deadlineMs / 1000} s`));
    }, deadlineMs);
    const keep = (/** @type {Buffer} */ chunk) => {
      log?.(chunk.toString());
      output = (output + chunk.toString()).slice(-keptBytes);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', (error) => {
      clearTimeout(deadline);
      if (error.name === 'AbortError') reject(error);
      else reject(new OperatorError(`${shown}: ${error.message}`, advice));
    });
    child.on('close', (code) => {
      clearTimeout(deadline);
      if (code === 0) resolve(output);
      else reject(failed(`failed (exit ${code})`));
    });
  });
}
