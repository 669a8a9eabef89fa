import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { PipelineError, asError } from '../../schemas/error.js';
import type { KafkaEnvironment } from '../../topologies/config.js';
import { kafkajsConnection } from '../../topologies/kafka-connection.js';
import { WireReader, WireWriter } from './bytes.js';
import { scramClient } from './scram.js';

export interface BrokerAddress {
  readonly host: string;
  readonly port: number;
}

const CONNECT_MS = 3_000;
const ANSWER_MS = 15_000;
const CLIENT_ID = 'millrace';
const SASL_HANDSHAKE = { key: 17, version: 1 } as const;
const SASL_AUTHENTICATE = { key: 36, version: 1 } as const;

export interface Api {
  readonly key: number;
  readonly version: number;
}

/**
 * One broker, asked in Kafka's own protocol, for the few requests about transactions that neither of our clients has.
 * One request at a time; TLS and SASL as the environment says.
 */
export class BrokerConnection {
  readonly #socket: net.Socket;
  readonly #address: string;
  #received: Buffer = Buffer.alloc(0);
  /** Wakes the read that waits. */
  #look: () => void = () => undefined;
  #correlation = 0;

  private constructor(socket: net.Socket, { host, port }: BrokerAddress) {
    this.#socket = socket;
    this.#address = `${host}:${port}`;
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#look();
    });
    // What was wrong is told by the read that waits; without a listener an error would end the process.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#look();
    });
  }

  /** @throws PipelineError `kafka_unavailable`; `config_invalid` where the credentials are refused */
  static async open(kafka: KafkaEnvironment, address: BrokerAddress): Promise<BrokerConnection> {
    const { ssl } = kafkajsConnection(kafka);
    const { host, port } = address;
    const socket =
      ssl === undefined
        ? net.connect({ host, port })
        : tls.connect({
            host,
            port,
            ...(net.isIP(host) === 0 && { servername: host }),
            ...(typeof ssl === 'object' && ssl),
          });
    const connection = new BrokerConnection(socket, address);
    try {
      await once(socket, ssl === undefined ? 'connect' : 'secureConnect', {
        signal: AbortSignal.timeout(CONNECT_MS),
      });
      await connection.#logIn(kafka);
      return connection;
    } catch (thrown) {
      socket.destroy();
      if (thrown instanceof PipelineError) throw thrown;
      throw new PipelineError(
        'kafka_unavailable',
        `Kafka does not answer at ${host}:${port} (${asError(thrown).message}).`,
        thrown,
      );
    }
  }

  /** A request of a flexible version (header 2), and what follows the header (1) of its answer. */
  async flexible(api: Api, body: (to: WireWriter) => void): Promise<WireReader> {
    const to = this.#header(api).endOfFields();
    body(to);
    const answer = await this.#exchange(to.endOfFields().done());
    answer.endOfFields();
    return answer;
  }

  close(): void {
    this.#socket.destroy();
  }

  #header({ key, version }: Api): WireWriter {
    this.#correlation += 1;
    return new WireWriter().int16(key).int16(version).int32(this.#correlation).text(CLIENT_ID);
  }

  async #exchange(request: Buffer): Promise<WireReader> {
    const expected = this.#correlation;
    try {
      this.#socket.write(new WireWriter().bytes(request).done());
      const answer = new WireReader(await this.#frame());
      if (answer.int32() !== expected) throw new Error('it answered another request');
      return answer;
    } catch (thrown) {
      this.close();
      throw new PipelineError(
        'kafka_unavailable',
        `Kafka's broker at ${this.#address} did not answer (${asError(thrown).message}).`,
        thrown,
      );
    }
  }

  /** The next frame, without its length. */
  #frame(): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`nothing within ${ANSWER_MS} ms`));
      }, ANSWER_MS);
      this.#look = () => {
        const length = this.#received.length < 4 ? Infinity : this.#received.readInt32BE(0);
        const whole = this.#received.length >= 4 + length;
        if (!whole && !this.#socket.destroyed) return;
        clearTimeout(timer);
        this.#look = () => undefined;
        if (!whole) {
          reject(new Error('it closed the connection; is it older than Kafka 3.0?'));
          return;
        }
        resolve(this.#received.subarray(4, 4 + length));
        this.#received = this.#received.subarray(4 + length);
      };
      this.#look();
    });
  }

  async #logIn({ sasl }: KafkaEnvironment): Promise<void> {
    if (sasl === undefined) return;
    const handshake = await this.#exchange(
      this.#header(SASL_HANDSHAKE).text(sasl.mechanism).done(),
    );
    if (handshake.int16() !== 0) {
      const offered = handshake.array((from) => from.text() ?? '');
      throw new PipelineError(
        'config_invalid',
        `Kafka at ${this.#address} does not take KAFKA_SASL_MECHANISM=${sasl.mechanism}; it offers ${offered.join(', ')}`,
      );
    }
    if (sasl.mechanism === 'PLAIN') {
      await this.#authenticate(`\0${sasl.username}\0${sasl.password}`);
      return;
    }
    const scram = scramClient(
      sasl.mechanism === 'SCRAM-SHA-256' ? 'sha256' : 'sha512',
      sasl.username,
      sasl.password,
    );
    scram.verify(await this.#authenticate(scram.final(await this.#authenticate(scram.first))));
  }

  async #authenticate(message: string): Promise<string> {
    const answer = await this.#exchange(
      this.#header(SASL_AUTHENTICATE).bytes(Buffer.from(message)).done(),
    );
    const code = answer.int16();
    const text = answer.text();
    if (code !== 0)
      throw new PipelineError(
        'config_invalid',
        `Kafka at ${this.#address} refuses KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD: ${text ?? `error ${code}`}`,
      );
    return answer.bytes().toString();
  }
}
