import { randomUUID } from 'node:crypto';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { readEnvironment } from '../../topologies/config.js';
import { topicTable } from '../../topologies/topic-table.js';
import { withAdmin } from '../cli/kafka-admin.js';
import { alterTopics, clusterTopics, createTopics } from './cluster.js';
import { conflictAdvice, planTopics } from './plan.js';

const WAIT = { timeout: 10_000, interval: 50 } as const;
const { kafka } = readEnvironment(process.env, ['kafka']);
const prefix = `test-topics-${randomUUID().slice(0, 8)}.`;
const whole = topicTable({ prefix, channels: [], tenantsWithOwnIngest: [], partitions: 2 });
const table = whole.filter((spec) => /ingest\.p0|config$|feedback/.test(spec.name));
const names = table.map((spec) => spec.name);

afterAll(() => withAdmin(kafka, (admin) => admin.deleteTopics({ topics: [...names] })));

describe('topics apply', () => {
  test('creates what is missing, then finds nothing to do', async () => {
    await withAdmin(kafka, async (admin) => {
      const before = planTopics(table, await clusterTopics(admin, names));
      expect(before.missing).toHaveLength(table.length);
      await createTopics(admin, before.missing, () => undefined);
      const after = planTopics(table, await clusterTopics(admin, names));
      expect(after).toEqual({ missing: [], drift: [], conflicts: [], unchanged: names });
    });
  });

  test('names drift, sets it right when asked, and keeps what operators set beside it', async () => {
    const topic = `${prefix}feedback`;
    await withAdmin(kafka, async (admin) => {
      await alterTopics(admin, [
        { topic, setting: 'retention.ms', wanted: '1000', found: '' },
        { topic, setting: 'max.compaction.lag.ms', wanted: '123456', found: '' },
      ]);
      // A broker shows a change once the controller's log has reached it.
      const drift = await vi.waitFor(async () => {
        const plan = planTopics(table, await clusterTopics(admin, names));
        expect(plan.drift).toEqual([
          { topic, setting: 'retention.ms', wanted: '1209600000', found: '1000' },
        ]);
        return plan.drift;
      }, WAIT);
      await alterTopics(admin, drift);
      await vi.waitFor(async () => {
        const [found] = await clusterTopics(admin, [topic]);
        expect(found?.config).toMatchObject({
          'retention.ms': '1209600000',
          'max.compaction.lag.ms': '123456',
          'cleanup.policy': 'delete',
        });
      }, WAIT);
    });
  });

  test('refuses another number of partitions and says what to do instead', async () => {
    const wider = topicTable({ prefix, channels: [], tenantsWithOwnIngest: [], partitions: 8 });
    await withAdmin(kafka, async (admin) => {
      const plan = planTopics(
        wider.filter((spec) => names.includes(spec.name)),
        await clusterTopics(admin, names),
      );
      expect(plan.conflicts).toContainEqual({ topic: `${prefix}ingest.p0`, wanted: 8, found: 2 });
      expect(conflictAdvice(plan.conflicts).join()).toContain('--partitions 2');
    });
  });
});

test('Kafka away is named within seconds, with its address', async () => {
  const started = Date.now();
  await expect(
    withAdmin({ ...kafka, brokers: ['127.0.0.1:1'] }, () => Promise.resolve()),
  ).rejects.toMatchObject({
    code: 'kafka_unavailable',
    message: expect.stringContaining('127.0.0.1:1') as string,
  });
  expect(Date.now() - started).toBeLessThan(5_000);
});
