// @ts-check
import { join } from 'node:path';
import { variables } from '../../infra/stack/endpoints.mjs';
import { runMain } from '../../infra/stack/operator-error.mjs';
import { stackDir } from '../../infra/stack/paths.mjs';
import { withSetUp } from './with-set-up.mjs';
import { withStack } from './with-stack.mjs';

const program = 'dist/scripts/faults/faults.js';
const usage = `npm run faults -- [options]

  Sets up what is missing, starts a cluster of its own (three brokers, registry, Postgres, Redis, InfluxDB;
  about 3 GB of memory) under .stack/faults with ports from MILLRACE_PORT_BASE (default 27000), breaks it under
  load, and stops it. With --shared it uses the local stack instead, and breaks workers and carriers only.
  All options go to the harness:

`;

const args = process.argv.slice(2);

await runMain(async () => {
  if (args.includes('--shared') || args.includes('--help') || args.includes('-h'))
    return withStack({ program, usage }, args);
  // Addresses of a stack that this shell has sourced are not the harness's to break.
  const own = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !Object.values(variables).includes(name)),
  );
  return withSetUp(program, args, { ...own, MILLRACE_STACK_DIR: join(stackDir, 'faults') });
});
