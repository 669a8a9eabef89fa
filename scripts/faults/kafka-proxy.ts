import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';

/** Numbers of Kafka's requests (KIP-7 and later; https://kafka.apache.org/protocol#protocol_api_keys). */
export const KAFKA_APIS = { Produce: 0, Fetch: 1, EndTxn: 26, TxnOffsetCommit: 28 } as const;
export type KafkaApi = keyof typeof KAFKA_APIS;

/** What becomes of a request's answer; the broker has carried the request out in each case. */
export type AnswerFault =
  | { readonly how: 'delay'; readonly ms: number }
  /** The connection stays, and this answer never comes. */
  | { readonly how: 'drop' }
  /** The answer is lost with its connection. */
  | { readonly how: 'cut' };

const LENGTH_BYTES = 4;
/** A larger frame is not Kafka's: the broker itself refuses more than 100 MiB. */
const MAX_FRAME_BYTES = 128 * 1024 * 1024;

/** Cuts a stream into Kafka's frames: four bytes of length, then so many bytes. */
export class Frames {
  private chunks: Buffer[] = [];
  private size = 0;

  /** @throws Error where the stream is not Kafka's */
  *add(chunk: Buffer): Generator<Buffer> {
    this.chunks.push(chunk);
    this.size += chunk.length;
    while (this.size >= LENGTH_BYTES) {
      const [first] = this.chunks;
      if (first === undefined || first.length < LENGTH_BYTES) this.join();
      const length = LENGTH_BYTES + (this.chunks[0]?.readUInt32BE(0) ?? 0);
      if (length > MAX_FRAME_BYTES) throw new Error(`a frame of ${length} bytes is not Kafka's`);
      if (this.size < length) return;
      const all = this.join();
      yield all.subarray(0, length);
      this.chunks = all.length > length ? [all.subarray(length)] : [];
      this.size = all.length - length;
    }
  }

  private join(): Buffer {
    const all =
      this.chunks.length === 1 && this.chunks[0] ? this.chunks[0] : Buffer.concat(this.chunks);
    this.chunks = [all];
    return all;
  }
}

/**
 * Stands in front of one broker's PROXIED listener, which sends its clients here. It knows which request each answer
 * belongs to, by connection and correlation id, and can delay or drop the answers of one kind, or cut connections.
 */
export class KafkaProxy {
  readonly port: number;
  private readonly server: Server;
  private readonly clients = new Set<Socket>();
  private readonly rules = new Map<number, AnswerFault>();
  /** Answers that a rule has met since it was set. */
  private met = 0;

  private constructor(server: Server) {
    this.server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  /** @param port where clients come; 0: any free one. @param brokerPort of the same host */
  static async open(port: number, brokerPort: number): Promise<KafkaProxy> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', resolve);
    });
    const proxy = new KafkaProxy(server);
    server.on('connection', (client) => {
      proxy.join(client, brokerPort);
    });
    return proxy;
  }

  /** From now on, for the answers of one kind of request; null ends it. */
  set(api: KafkaApi, fault: AnswerFault | null): void {
    if (fault === null) this.rules.delete(KAFKA_APIS[api]);
    else this.rules.set(KAFKA_APIS[api], fault);
    this.met = 0;
  }

  get answersMet(): number {
    return this.met;
  }

  /** Breaks these connections, chosen by the caller's dice. @returns how many */
  cut(chosen: () => boolean): number {
    const broken = [...this.clients].filter(chosen);
    for (const socket of broken) socket.destroy();
    return broken.length;
  }

  async close(): Promise<void> {
    this.cut(() => true);
    await new Promise((resolve) => this.server.close(resolve));
  }

  private join(client: Socket, brokerPort: number): void {
    const broker = connect(brokerPort, '127.0.0.1');
    this.clients.add(client);
    const asked = new Map<number, number>();
    const requests = new Frames();
    const answers = new Frames();
    /** Answers keep their order: a late one holds up those behind it. */
    let last: Promise<void> = Promise.resolve();
    let waiting = 0;
    const end = () => {
      client.destroy();
      broker.destroy();
    };
    const pass = (bytes: Buffer) => {
      if (!client.destroyed && !client.write(bytes)) broker.pause();
    };
    const onAnswer = (frame: Buffer) => {
      const correlation = frame.readInt32BE(LENGTH_BYTES);
      const rule = this.rules.get(asked.get(correlation) ?? -1);
      asked.delete(correlation);
      if (rule !== undefined) this.met += 1;
      if (rule?.how === 'drop') return;
      if (rule?.how === 'cut') {
        end();
        return;
      }
      if (rule === undefined && waiting === 0) {
        pass(frame);
        return;
      }
      const kept = Buffer.from(frame);
      waiting += 1;
      last = last.then(async () => {
        if (rule !== undefined) await new Promise((resolve) => setTimeout(resolve, rule.ms));
        waiting -= 1;
        pass(kept);
      });
    };
    client.on('data', (chunk) => {
      guarded(end, () => {
        for (const frame of requests.add(chunk))
          asked.set(frame.readInt32BE(LENGTH_BYTES + 4), frame.readInt16BE(LENGTH_BYTES));
      });
      if (!broker.destroyed && !broker.write(chunk)) client.pause();
    });
    broker.on('data', (chunk) => {
      guarded(end, () => {
        for (const frame of answers.add(chunk)) onAnswer(frame);
      });
    });
    client.on('drain', () => broker.resume());
    broker.on('drain', () => client.resume());
    for (const socket of [client, broker]) {
      socket.setNoDelay(true);
      socket.on('error', end);
      socket.on('close', () => {
        this.clients.delete(client);
        end();
      });
    }
  }
}

const guarded = (end: () => void, work: () => void): void => {
  try {
    work();
  } catch {
    end();
  }
};
