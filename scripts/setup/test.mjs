// @ts-check
import { readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { down } from '../../infra/stack/down.mjs';
import { describe } from '../../infra/stack/operator-error.mjs';
import { progressTo, seconds } from '../../infra/stack/progress.mjs';
import { runningNames, up } from '../../infra/stack/up.mjs';
import { onInterrupt } from './interrupt.mjs';
import { interruptCode } from './run-child.mjs';
import { runStep } from './run-step.mjs';
import { setUp } from './set-up.mjs';
import { sideBySide } from './side-by-side.mjs';
import { demoStep, staticSteps, vitestReport, vitestStep } from './test-steps.mjs';
import { lastLine, vitestTotals } from './test-totals.mjs';

const help = `npm test

  Set-up, local stack, then: ${[...staticSteps, vitestStep, demoStep].map(({ name }) => name).join(', ')}.
  Stops at the first step that fails and says how to run it alone. Takes the stack down at the end if
  it was not up before. Its last line is "N passed, N failed[, N skipped]": vitest's totals; a step
  other than vitest that fails counts as one failure.
`;

const progress = progressTo(process.stdout);

/** @returns {Promise<{ totals: import('./test-totals.mjs').Totals, code: number }>} */
async function test() {
  const totals = { passed: 0, failed: 0, skipped: 0 };
  const startedAt = performance.now();
  let signal = new AbortController().signal;
  try {
    await setUp({ progress, for: 'test' });
    signal = onInterrupt();
    await withOwnStack(signal, async (env) => {
      Object.assign(totals, await vitest({ progress, signal, env }));
      if (totals.failed > 0) return;
      await runStep(demoStep, { progress, signal, env });
    });
  } catch (error) {
    totals.failed += 1;
    progress.say(describe(error));
  }
  progress.say(
    `npm test         ${totals.failed === 0 ? 'done' : 'failed'} (${seconds(performance.now() - startedAt)})`,
  );
  if (signal.aborted) return { totals, code: interruptCode(signal) };
  return { totals, code: totals.failed === 0 ? 0 : 1 };
}

/**
 * The static steps, while the stack starts; then the rest with its addresses; then, whatever
 * happened, the stack goes if it came with us.
 * @param {AbortSignal} signal
 * @param {(env: NodeJS.ProcessEnv) => Promise<void>} work
 */
async function withOwnStack(signal, work) {
  const before = runningNames();
  try {
    // Its tests bring their own broker where they want security.
    const starting = up({ progress, signal, secure: false });
    // Heard below; a failing check must not leave its failure unheard meanwhile.
    starting.catch(() => {});
    try {
      await sideBySide(
        staticSteps,
        (step, stop) => runStep(step, { progress, signal: stop, env: process.env }),
        // Each keeps one core busy; above four, memory rather than cores would set the pace.
        { atOnce: Math.min(4, availableParallelism()), signal },
      );
    } finally {
      await starting.catch(() => {});
    }
    const { variables } = await starting;
    await work({ ...process.env, ...variables });
  } finally {
    await down({ progress, except: before });
  }
}

/** @param {Parameters<typeof runStep>[1]} context */
async function vitest(context) {
  // An old report must not be taken for that of a run that came to nothing.
  rmSync(vitestReport, { force: true });
  const failure = await runStep(vitestStep, context).then(
    () => null,
    (error) => error,
  );
  if (failure) progress.say(describe(failure));
  return vitestTotals(readOrNull(vitestReport), failure === null);
}

/** @param {string} path */
function readOrNull(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

if (process.argv.includes('--help')) {
  process.stdout.write(help);
} else {
  const { totals, code } = await test();
  process.stdout.write(`${lastLine(totals)}\n`);
  process.exitCode = code;
}
