import fc from 'fast-check';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { until } from '../installation/until.js';
import { Frames, KAFKA_APIS, KafkaProxy } from './kafka-proxy.js';

const DEADLINE_MS = 10_000;
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const frame = (body: Buffer): Buffer => {
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length);
  return Buffer.concat([length, body]);
};
const request = (api: number, correlation: number): Buffer => {
  const header = Buffer.alloc(8);
  header.writeInt16BE(api);
  header.writeInt32BE(correlation, 4);
  return frame(header);
};

/** A broker that answers each request with its correlation id, and a client that notes the answers it gets. */
const scene = async () => {
  const sockets = new Set<Socket>();
  const broker = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    const frames = new Frames();
    socket.on('data', (chunk) => {
      for (const one of frames.add(chunk)) socket.write(frame(one.subarray(8, 12)));
    });
  });
  await new Promise<void>((resolve) => broker.listen(0, '127.0.0.1', resolve));
  const proxy = await KafkaProxy.open(0, (broker.address() as AddressInfo).port);
  closers.push(
    () => new Promise((resolve) => broker.close(resolve)),
    () => {
      for (const socket of sockets) socket.destroy();
    },
    () => proxy.close(),
  );
  const client = connect(proxy.port, '127.0.0.1');
  const answered: number[] = [];
  const frames = new Frames();
  let closed = false;
  client.on('error', () => undefined);
  client.on('data', (chunk) => {
    for (const one of frames.add(chunk)) answered.push(one.readInt32BE(4));
  });
  client.on('close', () => {
    closed = true;
  });
  closers.push(() => client.destroy());
  return { proxy, client, answered, closed: () => closed };
};

test('frames come out whole and in order, however the stream was cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 }),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
      (bodies, cuts) => {
        const sent = bodies.map((body) => frame(Buffer.from(body)));
        const stream = Buffer.concat(sent);
        const frames = new Frames();
        const got: string[] = [];
        for (let at = 0, n = 0; at < stream.length; n++) {
          const size = cuts[n % cuts.length] ?? 1;
          for (const one of frames.add(stream.subarray(at, at + size)))
            got.push(one.toString('hex'));
          at += size;
        }
        expect(got).toEqual(sent.map((one) => one.toString('hex')));
      },
    ),
  );
});

test('a dropped answer never comes, and those of other requests do', async () => {
  const { proxy, client, answered } = await scene();
  proxy.set('EndTxn', { how: 'drop' });
  client.write(Buffer.concat([request(KAFKA_APIS.EndTxn, 1), request(KAFKA_APIS.Fetch, 2)]));
  await until('the other answer', DEADLINE_MS, () => answered.length === 1);
  expect(answered).toEqual([2]);
  expect(proxy.answersMet).toBe(1);
  proxy.set('EndTxn', null);
  client.write(request(KAFKA_APIS.EndTxn, 3));
  await until('answers again', DEADLINE_MS, () => answered.length === 2);
  expect(answered).toEqual([2, 3]);
});

test('a late answer keeps its place: those behind it on the connection wait', async () => {
  const { proxy, client, answered } = await scene();
  proxy.set('Produce', { how: 'delay', ms: 300 });
  const began = Date.now();
  client.write(Buffer.concat([request(KAFKA_APIS.Produce, 1), request(KAFKA_APIS.Fetch, 2)]));
  await until('both answers', DEADLINE_MS, () => answered.length === 2);
  expect(answered).toEqual([1, 2]);
  expect(Date.now() - began).toBeGreaterThanOrEqual(290);
});

test('an answer that is cut takes its connection with it', async () => {
  const { proxy, client, answered, closed } = await scene();
  proxy.set('TxnOffsetCommit', { how: 'cut' });
  client.write(request(KAFKA_APIS.TxnOffsetCommit, 1));
  await until('the connection to break', DEADLINE_MS, closed);
  expect(answered).toEqual([]);
});
