import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';

/**
 * The one address that carriers push receipts to, as a load balancer in front of workers would be: each connection
 * goes to a worker that is up, or nowhere.
 */
export class ReceiptDoor {
  readonly port: number;
  private readonly server: Server;
  private readonly open = new Set<Socket>();

  private constructor(server: Server) {
    this.server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  /** @param ports callback ports of the workers that are up now */
  static async open(ports: () => readonly number[]): Promise<ReceiptDoor> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    const door = new ReceiptDoor(server);
    let next = 0;
    server.on('connection', (client) => {
      const up = ports();
      next += 1;
      door.join(client, up[next % Math.max(1, up.length)]);
    });
    return door;
  }

  async close(): Promise<void> {
    for (const socket of this.open) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private join(client: Socket, port: number | undefined): void {
    if (port === undefined) {
      client.on('error', () => undefined);
      client.destroy();
      return;
    }
    const worker = connect(port, '127.0.0.1');
    for (const socket of [client, worker]) {
      this.open.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        this.open.delete(socket);
        client.destroy();
        worker.destroy();
      });
    }
    client.pipe(worker);
    worker.pipe(client);
  }
}
