// @ts-check
import { createHash } from 'node:crypto';
import { runCommand } from '../../infra/stack/run-command.mjs';

/** Linked into librdkafka; a build against one version need not load with another. */
const linked = ['libzstd', 'liblz4', 'libssl', 'libsasl2', 'zlib'];

/**
 * What a build of node-rdkafka depends on, besides its sources. node-rdkafka isn't on the stable
 * N-API, so a build for one ABI doesn't load into the next major Node.
 * @typedef {{ version: string, abi: string, platform: string, arch: string, libc: string,
 *   libraries: Record<string, string> }} RdkafkaBuild
 */

/**
 * @param {string} version of the package
 * @returns {Promise<RdkafkaBuild>}
 */
export const rdkafkaBuild = async (version) => ({
  version,
  abi: process.versions.modules,
  platform: process.platform,
  arch: process.arch,
  libc: glibcVersion(),
  libraries: Object.fromEntries(
    await Promise.all(linked.map(async (name) => [name, await libraryVersion(name)])),
  ),
});

/**
 * @param {RdkafkaBuild} build
 * @returns {string} name of its directory in the cache
 */
export function cacheKey(build) {
  const { version, abi, platform, arch, libc, libraries } = build;
  const rest = JSON.stringify([libc, Object.entries(libraries).sort()]);
  const short = createHash('sha256').update(rest).digest('hex').slice(0, 12);
  return `node-rdkafka/${version}-abi${abi}-${platform}-${arch}-${short}`;
}

function glibcVersion() {
  const report = /** @type {{ header: { glibcVersionRuntime?: string } }} */ (
    process.report.getReport()
  );
  return report.header.glibcVersionRuntime ?? 'other';
}

/** @param {string} name */
const libraryVersion = (name) =>
  runCommand('pkg-config', ['--modversion', name], { deadlineMs: 10_000 }).then(
    (text) => text.trim(),
    () => 'absent',
  );
