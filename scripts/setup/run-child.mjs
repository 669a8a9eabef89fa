// @ts-check
import { spawn } from 'node:child_process';

const graceMs = 20_000;

/**
 * Runs a program of ours to its end and answers its exit code; an interrupt of ours is passed on,
 * once, and the program has a while to end by itself.
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd: string, env: NodeJS.ProcessEnv, signal: AbortSignal, deadlineMs?: number,
 *   onOutput?: { stdout?: (text: string) => void, stderr?: (text: string) => void } }} options
 *   onOutput: taken instead of shown, where given
 * @returns {Promise<{ code: number, late: boolean }>}
 */
export function runChild(command, args, { cwd, env, signal, deadlineMs, onOutput = {} }) {
  return new Promise((resolve, reject) => {
    // A group of its own: a terminal sends Ctrl-C to the whole group, and the program would get
    // it twice, from there and from us.
    const child = spawn(command, args, {
      cwd,
      env,
      detached: true,
      stdio: ['ignore', onOutput.stdout ? 'pipe' : 'inherit', onOutput.stderr ? 'pipe' : 'inherit'],
    });
    child.stdout?.on('data', (chunk) => onOutput.stdout?.(chunk.toString()));
    child.stderr?.on('data', (chunk) => onOutput.stderr?.(chunk.toString()));

    /** @type {NodeJS.Timeout[]} */
    const timers = [];
    let late = false;
    const kill = (/** @type {NodeJS.Signals} */ name) => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, name);
      } catch {
        // It has just ended.
      }
    };
    const end = (/** @type {NodeJS.Signals} */ name) => {
      kill(name);
      timers.push(setTimeout(() => kill('SIGKILL'), graceMs));
    };
    const interrupted = () => end(signal.reason === 'SIGINT' ? 'SIGINT' : 'SIGTERM');
    if (signal.aborted) interrupted();
    else signal.addEventListener('abort', interrupted, { once: true });
    if (deadlineMs !== undefined) {
      timers.push(
        setTimeout(() => {
          late = true;
          end('SIGTERM');
        }, deadlineMs),
      );
    }
    const over = () => {
      timers.forEach(clearTimeout);
      signal.removeEventListener('abort', interrupted);
    };
    child.on('error', (error) => {
      over();
      reject(error);
    });
    // Not "close": something it started and left behind may hold the pipes open for ever.
    child.on('exit', (code) => {
      over();
      setImmediate(() => resolve({ code: code ?? 1, late }));
    });
  });
}

/** @param {AbortSignal} signal */
export const interruptCode = (signal) => (signal.reason === 'SIGINT' ? 130 : 143);
