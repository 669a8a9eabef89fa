import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

/** Loopback ports that were free a moment ago. */
export const freePorts = async (count: number): Promise<readonly number[]> => {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve, reject) => {
          server.once('error', reject);
          server.listen(0, '127.0.0.1', () => {
            resolve((server.address() as AddressInfo).port);
          });
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
};

export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  readonly argv0?: string;
  readonly uid?: number;
  readonly gid?: number;
}

export interface Server {
  /** Everything it has said. */
  readonly log: () => string;
  /** Ends it, at once. */
  readonly stop: () => Promise<void>;
}

/**
 * Starts a server of a test and waits until it answers.
 * @throws Error with its last words, where it ends or does not answer in time
 */
export const startServer = async (
  launch: Launch,
  answers: () => Promise<boolean>,
  deadlineMs = 60_000,
): Promise<Server> => {
  const { command, args, ...options } = launch;
  const child = spawn(command, [...args], { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  const failures: Error[] = [];
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => {
      resolve();
    });
    child.once('error', (error) => {
      failures.push(error);
      resolve();
    });
  });
  const server: Server = {
    log: () => said,
    stop: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
  const end = Date.now() + deadlineMs;
  while (!(await answers())) {
    if (child.exitCode !== null || failures.length > 0 || Date.now() > end) {
      await server.stop();
      throw new Error(`${command} does not answer: ${failures[0]?.message ?? said.slice(-3_000)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return server;
};
