// @ts-check
import { runMain } from '../../infra/stack/operator-error.mjs';
import { withStack } from './with-stack.mjs';

const usage = `npm run bench -- [options]

  Sets up what is missing, starts the local stack, runs the benchmark, stops what it started.
  A stack that is up is taken as it is. Its broker is made for short runs: \`npm run stack down\` first, and the one
  that this starts is made for long ones (docs/performance.md).
  --keep   leave the stack up afterwards
  All other options go to the benchmark:

`;

/**
 * Both compilers, yielding to the broker's own threads where that is allowed (root); and a young generation that is
 * collected every few seconds, for 35 ms, where the default one is every two (docs/performance.md, "The broker").
 */
process.env['KAFKA_JVM_PERFORMANCE_OPTS'] ??=
  '-XX:+UseSerialGC -Xms1g -Xmn300m -XX:MaxTenuringThreshold=1 -XX:ThreadPriorityPolicy=1 -XX:CompilerThreadPriority=10';

await runMain(() =>
  withStack({ program: 'dist/scripts/bench/bench.js', usage }, process.argv.slice(2)),
);
