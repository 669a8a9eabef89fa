// @ts-check
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, verifyFiles } from './cache.mjs';
import { pinned } from './checksums.mjs';
import { answers } from './http.mjs';
import { javaCommand } from './java.mjs';
import { download } from './maven.mjs';
import { dataDir } from './paths.mjs';
import { runCommand } from './run-command.mjs';
/** @import { Component } from './components.mjs' */

const version = '2.6.13.Final';
const archive = `apicurio-registry-app-${version}-all.tar.gz`;
const jar = `apicurio-registry-app-${version}-runner.jar`;

/** @type {Component} */
export const registry = {
  name: 'registry',
  version,
  ports: (ports) => [{ port: ports.registry, purpose: 'schema registry' }],
  async launch({ ports, signal }) {
    const app = await registryApp(signal);
    const dir = join(dataDir, 'registry');
    await mkdir(dir, { recursive: true });
    return {
      command: javaCommand(),
      args: [
        '-Xmx400m',
        '-XX:+UseSerialGC',
        `-Dquarkus.http.port=${ports.registry}`,
        '-Dquarkus.http.host=127.0.0.1',
        '-jar',
        join(app, jar),
      ],
      cwd: dir,
      // In memory, its default, it forgets schema ids at a restart, and data in Kafka can't be read.
      env: {
        ...process.env,
        REGISTRY_DATASOURCE_URL: `jdbc:h2:file:${join(dir, 'registry')}`,
        REGISTRY_LOG_LEVEL: 'WARN',
      },
    };
  },
  ready: (url) => answers(`${url.replace(/\/$/, '')}/subjects`),
  startDeadlineMs: 180_000,
  stop: { signal: 'SIGTERM', graceMs: 10_000 },
};

/** @param {AbortSignal} [signal] */
const registryApp = (signal) =>
  cached(`apicurio-${version}`, async (dir) => {
    const artifact = {
      group: 'io.apicurio',
      artifact: 'apicurio-registry-app',
      version,
      type: 'tar.gz',
      classifier: 'all',
    };
    await download([artifact], dir, { transitive: false, signal });
    await verifyFiles(dir, pinned(`apicurio-${version}.sha256`));
    await runCommand('tar', ['xzf', archive], { cwd: dir, deadlineMs: 120_000, signal });
    await rm(join(dir, archive));
  });
