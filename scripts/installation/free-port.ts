import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

/** A free port of the loopback interface. Someone else may take it before we use it; then the worker says so. */
export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => {
        resolve(port);
      });
    });
  });
