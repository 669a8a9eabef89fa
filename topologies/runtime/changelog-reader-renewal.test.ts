import { expect, test } from 'vitest';
import { ChangelogReader } from './changelog-reader.js';
import { rdkafkaClients } from './kafka-clients.js';
import { ConsumerClient } from './rdkafka-client.js';

/** A client whose partition's leader died while it was asked about it: it gives the same answer for ever. */
class Client extends ConsumerClient {
  private readonly stuck: boolean;

  constructor(stuck: boolean) {
    super({ 'metadata.broker.list': '127.0.0.1:1', 'group.id': 'reader' });
    this.stuck = stuck;
  }

  override connect(): Promise<void> {
    return Promise.resolve();
  }

  override watermarks(): Promise<{ low: number; high: number }> {
    return this.stuck
      ? Promise.reject(new Error('Local: Unknown partition'))
      : Promise.resolve({ low: 0, high: 0 });
  }
}

test('a restore that failed is tried again by new clients: one that asked a dead leader never comes to itself', async () => {
  const made: Client[] = [];
  const reader = new ChangelogReader({}, 'reader', {
    ...rdkafkaClients,
    consumer: () => {
      // The first pair is stuck.
      const client = new Client(made.length < 2);
      made.push(client);
      return client;
    },
  });
  const read = () => reader.read({ topic: 'claims', partition: 2 }, () => undefined);
  await expect(read()).rejects.toMatchObject({ code: 'kafka_unavailable' });
  await expect(read()).resolves.toBeUndefined();
  expect(made).toHaveLength(4);
  await reader.close();
});
