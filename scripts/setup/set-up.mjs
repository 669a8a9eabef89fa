// @ts-check
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { componentNames, variables } from '../../infra/stack/endpoints.mjs';
import { withLock } from '../../infra/stack/lock.mjs';
import { root } from '../../infra/stack/paths.mjs';
import { checkNode } from './check-node.mjs';
import { compile } from './compile.mjs';
import { nodeModules } from './node-modules.mjs';
import { postgresLinks } from './postgres-links.mjs';
import { rdkafka } from './rdkafka.mjs';
import { systemPackages } from './system-packages.mjs';
/** @import { Progress } from '../../infra/stack/progress.mjs' */

const lockDeadlineMs = 40 * 60_000;

/**
 * Everything between a clone and a program that runs; does only what isn't done yet.
 * @param {{ progress: Progress, for: 'stack' | 'run' | 'test' }} options stack: without compiling
 *   our own sources, which the components don't need
 */
export async function setUp({ progress, for: purpose }) {
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  checkNode(process.versions.node, engines.node);
  const replaced = new Set(componentNames.filter((name) => process.env[variables[name]]));
  const onWait = (/** @type {number} */ pid) =>
    progress.say(`set-up           waiting for process ${pid}, which is at it`);
  await withLock('set-up', { deadlineMs: lockDeadlineMs, onWait }, async () => {
    await systemPackages({ progress, replaced, tests: purpose === 'test' });
    await nodeModules(progress);
    await postgresLinks();
    if (purpose === 'stack') return;
    await rdkafka(progress);
    await compile(progress);
  });
}
