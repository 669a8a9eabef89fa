// Writes message requests to an ingest topic:
//
//   node produce.mjs --bootstrap localhost:9092 --registry http://localhost:8081 --topic ingest.p1 --count 10
//
// With --requests FILE it sends your own, one JSON object {"key": ..., "value": {...}} a line. Prints one JSON line a
// message.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import Kafka from 'node-rdkafka';
import { encode, latestSchema } from './framing.mjs';

const { values: options } = parseArgs({
  options: {
    bootstrap: { type: 'string', default: 'localhost:9092' },
    registry: { type: 'string', default: 'http://localhost:8081' },
    topic: { type: 'string', default: 'ingest.p1' },
    requests: { type: 'string' },
    count: { type: 'string', default: '10' },
    compression: { type: 'string', default: 'none' },
    tenant: { type: 'string', default: 'acme' },
    'business-line': { type: 'string', default: 'promotions' },
    template: { type: 'string', default: 'welcome' },
  },
});

/** @param {number} index */
const generated = (index) => ({
  // The recipient as key keeps one person's messages in order.
  key: `user-${index}`,
  value: {
    messageId: randomUUID(),
    tenantId: options.tenant,
    businessLine: options['business-line'],
    attribute: 'marketing',
    recipient: { userId: `user-${index}`, phone: `+86138${String(index).padStart(8, '0')}` },
    templateId: options.template,
    params: { name: `guest ${index}` },
    channels: [],
    createdAt: Date.now(),
    labels: { producer: 'node' },
  },
});

const requests =
  options.requests === undefined
    ? Array.from({ length: Number(options.count) }, (_, index) => generated(index))
    : readFileSync(options.requests, 'utf8')
        .split('\n')
        .filter((line) => line.trim() !== '')
        .map((line) => JSON.parse(line));

const schema = await latestSchema(options.registry, options.topic);
const producer = new Kafka.HighLevelProducer(
  {
    'bootstrap.servers': options.bootstrap,
    // A retry of the client writes a request once.
    'enable.idempotence': true,
    'compression.codec': options.compression,
    'linger.ms': 5,
  },
  {
    // A request that was acknowledged is not lost.
    acks: -1,
    // librdkafka's own default is another hash: one key would lie on two partitions. node-rdkafka takes this as a
    // setting of topics only, here; among the settings above it is silently ignored.
    partitioner: 'murmur2_random',
  },
);
await new Promise((resolve, reject) => {
  producer.once('ready', resolve);
  producer.once('event.error', reject);
  producer.connect({ timeout: 10_000 }, (error) => error && reject(error));
});
producer.setPollInterval(10);

const places = await Promise.all(
  requests.map(
    ({ key, value }) =>
      new Promise((resolve, reject) => {
        // Partition null: the partitioner decides.
        const bytes = encode(schema, value);
        producer.produce(options.topic, null, bytes, key, Date.now(), [], (error, offset) => {
          if (error) reject(error);
          else resolve({ messageId: value.messageId, key, offset });
        });
      }),
  ),
);
for (const place of places) console.log(JSON.stringify(place));
// The timer first: node-rdkafka would poll what is being destroyed.
producer.setPollInterval(0);
await new Promise((resolve) => {
  producer.disconnect(resolve);
});
