import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readEnvironment } from '../../topologies/config.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import { ConsumerClient, ProducerClient } from '../../topologies/runtime/rdkafka-client.js';
import { groupOf } from '../../topologies/runtime/worker.js';
import { topicTable } from '../../topologies/topic-table.js';
import { withAdmin } from '../cli/kafka-admin.js';
import { createTopics } from '../topics/cluster.js';
import { groupLags } from './lag.js';

const server = readEnvironment(process.env, ['kafka']).kafka;
const kafka = { ...server, prefix: `test-lag-${randomUUID().slice(0, 8)}.` };
const { prefix } = kafka;
const [spec] = topicTable({ prefix, channels: [], tenantsWithOwnIngest: [], partitions: 1 });
if (spec === undefined) throw new Error('no topics');
const topic = spec.name;
const groupId = groupOf(prefix, 'intake.p0');
const producer = new ProducerClient({
  ...rdkafkaConnection(kafka),
  'transactional.id': `${prefix}writer`,
});

const consumer = new ConsumerClient({ ...rdkafkaConnection(kafka), 'group.id': groupId });
/** Of a release that read feedback twice. */
const formerGroup = groupOf(prefix, 'attempts');
const former = new ConsumerClient({ ...rdkafkaConnection(kafka), 'group.id': formerGroup });

const write = async (count: number) => {
  await producer.begin();
  await producer.produce(
    Array.from({ length: count }, () => ({
      topic,
      partition: 0,
      key: null,
      value: Buffer.from('x'),
    })),
    10_000,
  );
  await producer.commit(10_000);
};
const taken = (offset: number) => {
  consumer.native.commitSync([{ topic, partition: 0, offset }]);
};
const lag = () => withAdmin(kafka, (admin) => groupLags(admin, kafka));

beforeAll(async () => {
  await withAdmin(kafka, (admin) => createTopics(admin, [spec], () => undefined));
  await consumer.connect(10_000);
  await former.connect(10_000);
  await producer.connect(10_000);
  await producer.initTransactions(20_000);
});
afterAll(async () => {
  await consumer.disconnect(5_000);
  await former.disconnect(5_000);
  await producer.disconnect(5_000);
  await withAdmin(kafka, async (admin) => {
    await admin.deleteTopics({ topics: [topic] });
    await admin.deleteGroups([groupId, formerGroup]);
  });
});

test('lag counts records, not the markers that end transactions', async () => {
  // Offsets: 0 1 2, marker at 3, 4 5, marker at 6.
  await write(3);
  await write(2);
  taken(6);
  expect(await lag()).toEqual([{ task: 'intake.p0', records: 0, exact: true, topics: [] }]);
  taken(1);
  expect(await lag()).toEqual([
    { task: 'intake.p0', records: 4, exact: true, topics: [{ topic, records: 4 }] },
  ]);
});

test('a group that no worker of this release is in does not stand there as one that never gets on', async () => {
  await write(1);
  former.native.commitSync([{ topic, partition: 0, offset: 0 }]);
  expect((await lag()).map(({ task }) => task)).toEqual(['intake.p0']);
});
