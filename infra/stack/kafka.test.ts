import { createServer, type AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import { newClusterId } from './kafka-broker.mjs';
import { brokerProperties } from './kafka-config.mjs';
import { askBrokers } from './kafka-wire.mjs';

const node = (id: number) => ({ id, port: 29_000 + id, controllerPort: 29_100 + id });

describe('one broker', () => {
  const text = brokerProperties(node(1), [node(1)], '/data');

  test('can hold internal topics alone', () => {
    const factors = [...text.matchAll(/(replication\.factor|min\.isr|insync\.replicas)=(\d)/g)];
    expect(factors.length).toBeGreaterThanOrEqual(6);
    expect(new Set(factors.map(([, , value]) => value))).toEqual(new Set(['1']));
  });

  test('listens on the loopback address only', () => {
    const addresses = [...text.matchAll(/(?:\/\/|@)([^:/]+):\d+/g)].map(([, host]) => host);
    expect(new Set(addresses)).toEqual(new Set(['127.0.0.1']));
  });

  test('creates no topic because a name was misspelt', () => {
    expect(text).toContain('auto.create.topics.enable=false\n');
  });
});

test('three brokers go on with one of them down, and lose nothing', () => {
  const cluster = [node(1), node(2), node(3)];
  const text = brokerProperties(node(2), cluster, '/data');
  expect(text).toContain('default.replication.factor=3\n');
  expect(text).toContain('min.insync.replicas=2\n');
  expect(text).toContain('transaction.state.log.min.isr=2\n');
  expect(text).toContain('node.id=2\n');
  expect(text).toContain('voters=1@127.0.0.1:29101,2@127.0.0.1:29102,3@127.0.0.1:29103\n');
});

test("a cluster id is 16 bytes and never looks like a tool's option", () => {
  for (let count = 0; count < 500; count += 1) expect(newClusterId()).toMatch(/^\w[\w-]{21}$/);
});

describe('readiness of Kafka', () => {
  const answering = async (reply: Buffer | null) => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => {
        if (reply) socket.write(reply);
        else socket.destroy();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    try {
      return await askBrokers(`127.0.0.1:${port}`);
    } finally {
      server.close();
    }
  };
  const metadata = (brokers: number) => Buffer.from([0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, brokers]);

  test.each([
    { it: 'is true with a registered broker', reply: metadata(1), ready: true },
    {
      it: 'is false while the port is open and no broker is registered',
      reply: metadata(0),
      ready: false,
    },
    { it: 'is false when the connection is closed', reply: null, ready: false },
  ])('$it', async ({ reply, ready }) => {
    expect(await answering(reply)).toBe(ready);
  });

  test('is false for an address that is none', async () => {
    expect(await askBrokers('nonsense')).toBe(false);
  });
});
