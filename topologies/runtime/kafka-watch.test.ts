import { expect, test, vi } from 'vitest';
import { Health } from './health.js';
import { watchKafka } from './kafka-watch.js';

test('Kafka that answers nobody makes readiness wait for it, until it answers again', async () => {
  const health = new Health();
  health.ready();
  let answers = false;
  let asked = 0;
  const watch = watchKafka(
    () => {
      asked += 1;
      return answers ? Promise.resolve() : Promise.reject(new Error('no answer in 5000 ms'));
    },
    health,
    1,
  );
  try {
    await vi.waitFor(() => {
      expect(health.report).toMatchObject({
        status: 'waiting',
        missing: { kafka: { detail: 'Kafka does not answer: no answer in 5000 ms' } },
      });
    });
    answers = true;
    await vi.waitFor(() => {
      expect(health.report).toEqual({ status: 'ready', missing: {} });
    });
    // What a task says of Kafka is the task's to take back.
    health.waiting('kafka', 'send.p0: restoring');
    const before = asked;
    await vi.waitFor(() => {
      expect(asked).toBeGreaterThan(before + 2);
    });
    expect(health.report.missing['kafka']?.detail).toBe('send.p0: restoring');
  } finally {
    await watch.close();
  }
});
