// @ts-check
import { join } from 'node:path';
import { runMain } from '../../infra/stack/operator-error.mjs';
import { root } from '../../infra/stack/paths.mjs';
import { progressFor } from '../../infra/stack/progress.mjs';
import { onInterrupt } from './interrupt.mjs';
import { interruptCode, runChild } from './run-child.mjs';
import { setUp } from './set-up.mjs';

await runMain(async () => {
  const args = process.argv.slice(2);
  await setUp({ progress: progressFor(args), for: 'run' });
  const signal = onInterrupt();
  const { code } = await runChild(
    process.execPath,
    [join(root, 'dist', 'scripts', 'ledger', 'ledger.js'), ...args],
    { cwd: root, env: process.env, signal },
  );
  return signal.aborted ? interruptCode(signal) : code;
});
