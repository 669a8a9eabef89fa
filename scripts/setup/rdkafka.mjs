// @ts-check
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cp, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, exists } from '../../infra/stack/cache.mjs';
import { OperatorError } from '../../infra/stack/operator-error.mjs';
import { cacheDir, root } from '../../infra/stack/paths.mjs';
import { runCommand } from '../../infra/stack/run-command.mjs';
import { cacheKey, rdkafkaBuild } from './rdkafka-key.mjs';
/** @import { Progress } from '../../infra/stack/progress.mjs' */

const dir = join(root, 'node_modules', 'node-rdkafka');
const binary = join(dir, 'build', 'Release', 'node-librdkafka.node');

/** In the build, so that it goes when npm replaces the package. Holds the ABI it was verified for. */
const stamp = join(dir, 'build', '.millrace-verified');

/** Producers use all of these: without one, their records can't be read or their brokers not reached. */
const wantedFeatures = ['zstd', 'lz4', 'ssl', 'sasl'];

/**
 * node-rdkafka's install script, run by name: it compiles librdkafka, minutes on a small machine,
 * so its product is kept outside the checkout.
 * @param {Progress} progress
 */
export async function rdkafka(progress) {
  if ((await exists(binary)) && (await exists(stamp))) {
    if (readFileSync(stamp, 'utf8') === process.versions.modules) return;
  }
  const { version } = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8'));
  const key = cacheKey(await rdkafkaBuild(version.replace(/^v/, '')));
  if (await exists(join(cacheDir(), key))) {
    await progress.step(
      'node-rdkafka',
      () => restore(join(cacheDir(), key)),
      () => 'from the cache',
    );
  } else if (missingFeatures().length > 0) {
    progress.say('node-rdkafka     compiling, once per machine: one to four minutes …');
    await progress.step('node-rdkafka', compile, () => 'compiled');
  }
  verify();
  await cached(key, keep);
  await writeFile(stamp, process.versions.modules);
}

async function compile() {
  const how = {
    deadlineMs: 20 * 60_000,
    env: { ...process.env, JOBS: process.env['JOBS'] ?? 'max' },
    advice: 'node-rdkafka did not compile: the lines above say why. npm run setup tries again.',
  };
  // Its makefile lets the compilation begin before librdkafka is configured when it runs more
  // than one job at a time, and fails; configured beforehand, the jobs can run side by side.
  await rm(join(dir, 'build'), { recursive: true, force: true });
  await runCommand(process.execPath, ['util/configure'], { ...how, cwd: dir });
  await runCommand('npm', ['rebuild', 'node-rdkafka', '--foreground-scripts', '--loglevel=error'], {
    ...how,
    cwd: root,
  });
}

/** @param {string} place */
async function restore(place) {
  await rm(join(dir, 'build'), { recursive: true, force: true });
  await cp(place, join(dir, 'build'), { recursive: true, verbatimSymlinks: true });
}

/**
 * The binary and the shared libraries it finds relative to itself; the rest of a build is 100 MB
 * of objects.
 * @param {string} place
 */
async function keep(place) {
  const parts = [
    { from: 'Release', files: ['node-librdkafka.node'] },
    { from: 'deps', files: (await readdir(join(dir, 'build', 'deps'))).filter(isLibrary) },
  ];
  for (const { from, files } of parts) {
    await mkdir(join(place, from), { recursive: true });
    for (const file of files) {
      const path = join(dir, 'build', from, file);
      await cp(path, join(place, from, file), { verbatimSymlinks: true });
    }
  }
}

/** @param {string} file */
const isLibrary = (file) => /\.(so|dylib)(\.\d+)?$|\.\d+\.dylib$/.test(file);

function verify() {
  const missing = missingFeatures();
  if (missing.length === 0) return;
  throw new OperatorError(
    `node-rdkafka was built without ${missing.join(', ')}`,
    'Their headers were not found while it compiled (libzstd-dev, liblz4-dev, libssl-dev, libsasl2-dev). Install them, delete node_modules/node-rdkafka/build, run npm run setup.',
  );
}

/** Asked in a process of its own: a build that doesn't load here may also not load halfway. */
function missingFeatures() {
  try {
    const script = "console.log(require('node-rdkafka').features.join())";
    const how = /** @type {const} */ ({
      cwd: root,
      encoding: 'utf8',
      stdio: 'pipe',
      timeout: 30_000,
    });
    const features = execFileSync(process.execPath, ['-e', script], how).trim().split(',');
    return wantedFeatures.filter((name) => !features.includes(name));
  } catch {
    return wantedFeatures;
  }
}
