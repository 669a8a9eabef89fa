import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';

/** What becomes of bytes: they pass, their connections break, or nothing ever answers. */
type Mode = 'pass' | 'cut' | 'hang';

/** Stands between a worker and a dependency, and can make it seem away. */
export class TcpProxy {
  readonly port: number;
  private readonly server: Server;
  private readonly open = new Set<Socket>();
  private mode: Mode = 'pass';

  private constructor(server: Server) {
    this.server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  /** In front of the server that the URL names. */
  static async to(url: string): Promise<TcpProxy> {
    const { hostname, port } = new URL(url);
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    const proxy = new TcpProxy(server);
    server.on('connection', (client) => {
      proxy.join(client, hostname, Number(port));
    });
    return proxy;
  }

  /** The same URL by way of the proxy. */
  through(url: string): string {
    const address = new URL(url);
    address.hostname = '127.0.0.1';
    address.port = this.port.toString();
    return address.toString();
  }

  /** As after the server's death: open connections break, new ones too. */
  cut(): void {
    this.mode = 'cut';
    for (const socket of this.open) socket.destroy();
  }

  /** As after a firewall's change of mind: connections stay, or are taken, and nobody answers. */
  hang(): void {
    this.mode = 'hang';
    for (const socket of this.open) socket.pause().unpipe();
  }

  /** New connections pass; those that hung break. */
  restore(): void {
    if (this.mode === 'hang') for (const socket of this.open) socket.destroy();
    this.mode = 'pass';
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private join(client: Socket, host: string, port: number): void {
    this.keep(client);
    if (this.mode === 'cut') client.destroy();
    if (this.mode !== 'pass') return;
    const server = connect(port, host);
    this.keep(server);
    client.pipe(server);
    server.pipe(client);
    client.on('close', () => server.destroy());
    server.on('close', () => client.destroy());
  }

  private keep(socket: Socket): void {
    this.open.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.open.delete(socket));
  }
}
