// @ts-check
import { URLSearchParams } from 'node:url';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cached } from './cache.mjs';
import { answers } from './http.mjs';
import { OperatorError } from './operator-error.mjs';
import { dataDir } from './paths.mjs';
import { runCommand } from './run-command.mjs';
/** @import { Component } from './components.mjs' */

const version = '1.8.10';
const dir = join(dataDir, 'influx');

/** @type {Component} */
export const influx = {
  name: 'influx',
  version,
  ports: (ports) => [{ port: ports.influx, purpose: 'InfluxDB' }],
  async launch({ ports, signal, progress }) {
    const command = join(await influxBinary(signal, progress.say), 'influxd');
    await mkdir(dir, { recursive: true });
    const config = join(dir, 'influxdb.conf');
    await writeFile(config, configuration(ports.influx));
    return { command, args: ['-config', config], cwd: dir };
  },
  ready: (url) => answers(`${url.replace(/\/$/, '')}/ping`),
  async afterStart(url) {
    const create = new URLSearchParams({ q: 'CREATE DATABASE millrace' });
    if (!(await answers(`${url}/query`, { method: 'POST', body: create }))) {
      throw new OperatorError(
        'influx: database millrace could not be created',
        'npm run stack logs influx',
      );
    }
  },
  startDeadlineMs: 180_000,
  stop: { signal: 'SIGTERM', graceMs: 10_000 },
};

/** @param {number} port */
const configuration = (port) => `reporting-disabled = true
# Backups; on any free port, or a second checkout would meet the first on 8088.
bind-address = "127.0.0.1:0"

[meta]
  dir = "${join(dir, 'meta')}"
  logging-enabled = false

[data]
  dir = "${join(dir, 'data')}"
  wal-dir = "${join(dir, 'wal')}"
  query-log-enabled = false

[monitor]
  store-enabled = false

[http]
  bind-address = "127.0.0.1:${port}"
  flux-enabled = true
  auth-enabled = false
  log-enabled = false

[logging]
  level = "warn"
  suppress-logo = true
`;

/**
 * Go checks every module against its checksum database while it builds; the binary is then kept.
 * @param {AbortSignal | undefined} signal
 * @param {(line: string) => void} say
 */
const influxBinary = (signal, say) =>
  cached(`influxdb-${version}-${process.platform}-${process.arch}`, async (into) => {
    say(
      `influx           building InfluxDB ${version} with Go, once per machine: about two minutes …`,
    );
    await runCommand('go', ['install', `github.com/influxdata/influxdb/cmd/influxd@v${version}`], {
      cwd: into,
      env: {
        ...process.env,
        GOBIN: into,
        GOFLAGS: `${process.env['GOFLAGS'] ?? ''} -mod=mod`.trim(),
      },
      deadlineMs: 15 * 60_000,
      signal,
      advice:
        'Go could not build InfluxDB: check the network (GOPROXY), or set INFLUX_URL to an InfluxDB of your own.',
    });
  });
