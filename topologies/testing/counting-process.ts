import { ChangelogReader } from '../runtime/changelog-reader.js';
import type { GroupProtocol } from '../runtime/transaction-session.js';
import { countingStages, countingTopics, testTask } from './counting.js';

/*
 * A worker of its own that fault tests kill: node dist/topologies/testing/counting-process.js <brokers> <prefix>
 * <group> <slot> <protocol>. SIGTERM leaves in order.
 */
const [, , brokers = '', prefix = '', groupId = '', slot = '0', protocol = 'classic'] =
  process.argv;
const client = { 'metadata.broker.list': brokers };
const topics = countingTopics(prefix);
const reader = new ChangelogReader(client, `${groupId}.restore`);
const task = testTask(
  countingStages(topics),
  { ask: () => Promise.resolve() },
  {
    client,
    groupId,
    slot: Number(slot),
    protocol: protocol as GroupProtocol,
    deadLetters: topics.dead,
    reader,
    // Small: many transactions, so that one is open whenever the process is killed.
    maxBatch: 20,
  },
);
process.once('SIGTERM', () => {
  task.stop();
});
await task.run();
await reader.close();
