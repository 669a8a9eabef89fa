import { expect, test } from 'vitest';
import { WorkerMetrics } from './metrics.js';

test('series are named by what is wired, so that no message, user or address can become one', async () => {
  const metrics = new WorkerMetrics();
  metrics.lag(() => [{ task: 'intake.p0', topic: 'ingest.p0', partition: 3, lag: 17 }]);
  const task = metrics.ofTask('intake.p0');
  task.queueAge(1_500);
  task.transaction('committed', 20, 12);
  task.inFlight(3);
  metrics.ofSink('settle').written(5, 2);
  metrics.release('1.2.3');
  metrics.absences(() => [{ dependency: 'redis', state: 'degraded', seconds: 2.5 }]);
  await metrics.registry.metrics();
  const text = await metrics.registry.metrics();
  expect(text).toContain(
    'millrace_dependency_missing_seconds_total{dependency="redis",state="degraded"} 2.5',
  );
  expect(text).toContain(
    'millrace_lag_records{task="intake.p0",topic="ingest.p0",partition="3"} 17',
  );
  expect(text).toContain('millrace_release_info{release="1.2.3"} 1');
  expect(text).toContain('millrace_transactions_total{task="intake.p0",outcome="committed"} 1');
  const labels = new Set([...text.matchAll(/[{,]([a-z_]+)="/g)].map(([, label]) => label));
  const allowed = [
    'task',
    'stage',
    'to',
    'code',
    'event',
    'outcome',
    'release',
    'sink',
    'provider',
    'result',
    'dependency',
    'state',
  ];
  const ofNode = [
    'topic',
    'partition',
    'le',
    'version',
    'major',
    'minor',
    'patch',
    'space',
    'kind',
    'type',
    'quantile',
  ];
  expect([...labels].filter((label) => ![...allowed, ...ofNode].includes(label ?? ''))).toEqual([]);
});
