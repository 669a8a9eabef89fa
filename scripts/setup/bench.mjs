// @ts-check
import { runMain } from '../../infra/stack/operator-error.mjs';
import { withStack } from './with-stack.mjs';

const usage = `npm run bench -- [options]

  Sets up what is missing, starts the local stack, runs the benchmark, stops what it started.
  --keep   leave the stack up afterwards
  All other options go to the benchmark:

`;

await runMain(() =>
  withStack({ program: 'dist/scripts/bench/bench.js', usage }, process.argv.slice(2)),
);
