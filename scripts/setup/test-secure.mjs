// @ts-check
import { runMain } from '../../infra/stack/operator-error.mjs';
import { withStack } from './with-stack.mjs';

const usage = `npm run test:secure

  Sets up what is missing, starts the local stack, and runs the pipeline with SASL, TLS, access rules and
  passwords everywhere, on servers of its own; then stops what it started.
`;

const vitest = ['run', '--config', 'vitest.secure.config.ts'];

await runMain(() =>
  withStack({ program: 'node_modules/vitest/vitest.mjs', usage }, [
    ...vitest,
    ...process.argv.slice(2),
  ]),
);
