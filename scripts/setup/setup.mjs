// @ts-check
import { runMain } from '../../infra/stack/operator-error.mjs';
import { progressFor, seconds } from '../../infra/stack/progress.mjs';
import { setUp } from './set-up.mjs';

const help = `npm run setup

  Installs what is missing (system packages on Debian as root, npm packages), compiles node-rdkafka
  and the sources. demo, test, bench and stack do it themselves; this does nothing else.
`;

await runMain(async () => {
  const args = process.argv.slice(2);
  if (args.includes('--help')) {
    process.stdout.write(help);
    return 0;
  }
  const progress = progressFor(args);
  const startedAt = performance.now();
  await setUp({ progress, for: 'test' });
  progress.say(`set-up           done (${seconds(performance.now() - startedAt)})`);
  return 0;
});
