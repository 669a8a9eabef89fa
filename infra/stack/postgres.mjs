// @ts-check
import { readFileSync } from 'node:fs';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exists } from './cache.mjs';
import { OperatorError } from './operator-error.mjs';
import { ownedDir, postgresHome } from './postgres-home.mjs';
import { runCommand } from './run-command.mjs';
/** @import { Component } from './components.mjs' */
/** @import { PostgresHome } from './postgres-home.mjs' */

const major = '18';
const askForMs = 5_000;

/** Money is in here: fsync and synchronous_commit keep their default, on. */
const settings = {
  listen_addresses: '127.0.0.1',
  // Its usual socket in /tmp would collide with another Postgres on the same port number.
  unix_socket_directories: '',
  shared_buffers: '256MB',
  max_wal_size: '2GB',
  max_connections: 200,
  timezone: 'UTC',
  log_timezone: 'UTC',
};

/** @type {Component} */
export const postgres = {
  name: 'postgres',
  version: major,
  ports: (ports) => [{ port: ports.postgres, purpose: 'Postgres' }],
  async launch({ ports, signal }) {
    const home = await postgresHome();
    const version = join(home.data, 'PG_VERSION');
    if (!(await exists(version))) await initialise(home, signal);
    const found = readFileSync(version, 'utf8').trim();
    if (found !== major) {
      throw new OperatorError(
        `postgres: its data is of version ${found}, the server is ${major}`,
        'npm run stack reset forgets the data and starts anew.',
      );
    }
    const options = Object.entries({ ...settings, port: ports.postgres });
    return {
      command: join(home.native, 'bin', 'postgres'),
      args: ['-D', home.data, ...options.flatMap(([name, value]) => ['-c', `${name}=${value}`])],
      cwd: home.data,
      ...home.owner,
    };
  },
  ready: answersQueries,
  startDeadlineMs: 180_000,
  // Postgres' "fast" stop: it ends sessions and writes a checkpoint. SIGTERM would wait for them.
  stop: { signal: 'SIGINT', graceMs: 15_000 },
};

/**
 * @param {PostgresHome} home
 * @param {AbortSignal | undefined} signal
 */
async function initialise({ native, data, owner }, signal) {
  // Renamed when its database exists too: an interrupted start leaves nothing that looks complete.
  const fresh = `${data}.new`;
  await rm(fresh, { recursive: true, force: true });
  ownedDir(fresh, owner);
  const password = await mkdtemp(join(tmpdir(), 'millrace-postgres-'));
  try {
    const how = { cwd: fresh, deadlineMs: 60_000, signal, ...owner };
    // The same as in docker-compose.yml; no secret, it guards a loopback port of a development machine.
    ownedDir(password, owner);
    await writeFile(join(password, 'pw'), 'millrace\n', { mode: 0o644 });
    await runCommand(
      join(native, 'bin', 'initdb'),
      [
        ...['-D', fresh, '-U', 'millrace', '--auth=scram-sha-256', `--pwfile=${password}/pw`],
        ...['--encoding=UTF8', '--locale=C'],
      ],
      how,
    );
    await runCommand(join(native, 'bin', 'postgres'), ['--single', '-D', fresh, 'postgres'], {
      ...how,
      input: 'CREATE DATABASE millrace\n',
    });
  } finally {
    await rm(password, { recursive: true, force: true });
  }
  await rm(data, { recursive: true, force: true });
  await rename(fresh, data);
}

/** @param {string} url */
async function answersQueries(url) {
  // Not at the top: these files are read before there is a node_modules.
  const { default: pg } = await import('pg');
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: askForMs,
    query_timeout: askForMs,
  });
  // A server that ends says so on the idle connection; unheard, that would end us.
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('select 1');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}
