// @ts-check
import { runMain } from '../../infra/stack/operator-error.mjs';
import { withStack } from './with-stack.mjs';

const usage = `npm run demo -- [options]

  Sets up what is missing, starts the local stack, runs the demo, stops what it started.
  --keep   leave the stack, the worker and the simulated carriers up afterwards
  All other options go to the demo:

`;

await runMain(() =>
  withStack({ program: 'dist/scripts/demo/demo.js', usage, keeps: true }, process.argv.slice(2)),
);
