import { mkdtempSync, writeFileSync } from 'node:fs';
import { connect as connectPlain } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import path from 'node:path';
import { createServer } from 'node:tls';
import pg from 'pg';
import { issue } from '../../infra/stack/certificates.mjs';
import { onPath } from '../../infra/stack/on-path.mjs';
import { runCommand } from '../../infra/stack/run-command.mjs';
import { postgresCluster } from '../testing/own-postgres.js';
import { freePorts, startServer } from './process.js';

export type Identity = ReturnType<typeof issue>;

const DAY_MS = 86_400_000;

/** An authority, a server's certificate by it, and one that ran out yesterday. */
export const authority = () => {
  const ca = issue({ name: 'test authority' });
  const hosts = ['127.0.0.1', 'localhost'];
  return {
    ca,
    server: issue({ name: 'server', hosts, issuer: ca }),
    expired: issue({
      name: 'expired server',
      hosts,
      issuer: ca,
      notBefore: Date.now() - 2 * DAY_MS,
      notAfter: Date.now() - DAY_MS,
    }),
    /** Signed by nobody that anyone trusts. */
    other: issue({ name: 'other authority' }),
  };
};

export interface Endpoint {
  readonly port: number;
  readonly stop: () => Promise<void>;
}

/** TLS before a server that has none; with credentials, HTTP basic ones or a token that every request must carry. */
export const tlsProxy = async (
  to: URL,
  { certificate, key }: Identity,
  authorization?: string,
): Promise<Endpoint> => {
  const sockets = new Set<Socket>();
  const server = createServer({ cert: certificate, key }, (near) => {
    const far = connectPlain(Number(to.port), to.hostname);
    let admitted = authorization === undefined;
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket
        .on('error', () => undefined)
        .on('close', () => [near, far].map((one) => one.destroy()));
    }
    far.on('data', (bytes) => near.write(bytes));
    near.on('data', (bytes: Buffer) => {
      const text = bytes.toString('latin1').toLowerCase();
      // Clients keep connections and use them again: each request must show what it knows.
      if (authorization !== undefined && /^(get|post|put|delete|options) /.test(text))
        admitted = text.includes(`authorization: ${authorization.toLowerCase()}\r\n`);
      if (admitted) far.write(bytes);
      else
        near.end(
          'HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}',
        );
    });
  });
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};

/** Redis with TLS and a user. */
export const startRedis = async (
  folder: string,
  { certificate, key }: Identity,
  user: string,
  password: string,
): Promise<Endpoint> => {
  const [port = 0] = await freePorts(1);
  const dir = mkdtempSync(path.join(folder, 'redis-'));
  writeFileSync(path.join(dir, 'cert.pem'), certificate);
  writeFileSync(path.join(dir, 'key.pem'), key);
  writeFileSync(
    path.join(dir, 'redis.conf'),
    [
      'bind 127.0.0.1',
      'port 0',
      `tls-port ${port}`,
      'tls-cert-file cert.pem',
      'tls-key-file key.pem',
      'tls-auth-clients no',
      'save ""',
      'user default off',
      `user ${user} on >${password} ~* &* +@all`,
    ].join('\n'),
  );
  const command = onPath('redis-server') ?? onPath('redis-check-rdb') ?? 'redis-server';
  const server = await startServer(
    { command, argv0: 'redis-server', args: ['redis.conf'], cwd: dir },
    () => answersTcp(port),
  );
  return { port, stop: server.stop };
};

const answersTcp = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connectPlain(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => {
      resolve(false);
    });
  });

/** Postgres that takes TLS connections only, as user millrace. */
export const startPostgres = async (
  { certificate, key }: Identity,
  password: string,
): Promise<Endpoint> => {
  const [port = 0] = await freePorts(1);
  const cluster = await postgresCluster(password);
  const { dir } = cluster;
  const run = { cwd: dir, deadlineMs: 60_000, ...cluster.owner };
  await runCommand('sh', ['-c', 'umask 077; cat > key.pem'], { ...run, input: key });
  await runCommand('sh', ['-c', 'cat > cert.pem'], { ...run, input: certificate });
  await runCommand('sh', ['-c', 'cat > data/pg_hba.conf'], {
    ...run,
    input: 'hostssl all all 127.0.0.1/32 scram-sha-256\n',
  });
  const server = await startServer(
    cluster.launch({
      port,
      fsync: 'off',
      ssl: 'on',
      ssl_cert_file: path.join(dir, 'cert.pem'),
      ssl_key_file: path.join(dir, 'key.pem'),
    }),
    async () => {
      const client = new pg.Client({
        host: '127.0.0.1',
        port,
        user: 'millrace',
        password,
        database: 'postgres',
        ssl: { rejectUnauthorized: false },
      });
      client.on('error', () => undefined);
      return client.connect().then(
        async () => {
          await client.end();
          return true;
        },
        () => false,
      );
    },
  );
  return {
    port,
    stop: async () => {
      await server.stop();
      cluster.remove();
    },
  };
};
