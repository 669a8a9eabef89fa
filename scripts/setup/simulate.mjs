// @ts-check
import { runMain } from '../../infra/stack/operator-error.mjs';
import { withSetUp } from './with-set-up.mjs';

await runMain(() => withSetUp('dist/scripts/simulate/simulate.js', process.argv.slice(2)));
