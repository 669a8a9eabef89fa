// @ts-check
import { OperatorError } from '../../infra/stack/operator-error.mjs';
import { root } from '../../infra/stack/paths.mjs';
import { runChild } from './run-child.mjs';
/** @import { Progress } from '../../infra/stack/progress.mjs' */
/** @import { Step } from './test-steps.mjs' */

/**
 * @param {Step} step
 * @param {{ progress: Progress, signal: AbortSignal, env: NodeJS.ProcessEnv }} context
 */
export const runStep = (step, { progress, signal, env }) =>
  progress.step(step.name, async () => {
    let stdout = '';
    let both = '';
    const onOutput = {
      stdout: (/** @type {string} */ text) => {
        stdout += text;
        both += text;
      },
      stderr: (/** @type {string} */ text) => {
        both += text;
      },
    };
    const how = { cwd: root, env, signal, deadlineMs: step.deadlineMs };
    const { code, late } = await runChild(step.command, step.args, {
      ...how,
      ...(step.live ? {} : { onOutput }),
    });
    const wrong = late
      ? `did not end within ${step.deadlineMs / 60_000} min`
      : code !== 0
        ? `failed (exit ${code})`
        : (step.check?.(stdout) ?? null);
    if (wrong === null) return;
    throw new OperatorError(
      `${step.name}: ${wrong}`,
      `Alone: ${step.alone}`,
      both.trimEnd() === '' ? [] : both.trimEnd().split('\n'),
    );
  });
