import { Registry } from 'prom-client';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { Health } from './health.js';

const health = new Health();
let url = '';
beforeAll(async () => {
  url = `http://127.0.0.1:${(await health.listen(0, new Registry())).toString()}`;
});
afterAll(() => health.close());

const get = async (path: string): Promise<{ status: number; body: unknown }> => {
  const response = await fetch(url + path);
  return { status: response.status, body: await response.json() };
};

test('readiness says when work may begin, and names what is missing; liveness says only that we live', async () => {
  expect(await get('/readyz')).toMatchObject({ status: 503, body: { status: 'starting' } });
  expect(await get('/healthz')).toMatchObject({ status: 200 });
  health.ready();
  expect(await get('/readyz')).toMatchObject({
    status: 200,
    body: { status: 'ready', missing: {} },
  });

  health.degraded('redis', 'refused');
  expect(await get('/readyz')).toMatchObject({
    status: 200,
    body: { status: 'degraded', missing: { redis: { state: 'degraded', detail: 'refused' } } },
  });
  health.waiting('postgres', 'gone');
  expect(await get('/readyz')).toMatchObject({ status: 503, body: { status: 'waiting' } });
  expect(await get('/healthz')).toMatchObject({ status: 200 });
  health.recovered('postgres');
  health.recovered('redis');
  expect(await get('/readyz')).toMatchObject({ status: 200, body: { status: 'ready' } });
});

test('what is missed keeps the time since when, however often it is said', () => {
  health.waiting('kafka', 'once');
  const { since } = health.report.missing['kafka'] ?? {};
  health.waiting('kafka', 'again');
  expect(health.report.missing['kafka']).toMatchObject({ since, detail: 'again' });
  health.recovered('kafka');
});

test('time without a dependency adds up over its absences, waiting and degraded apart', () => {
  const one = new Health();
  vi.useFakeTimers({ toFake: ['Date'] });
  const pass = (milliseconds: number): void => {
    vi.setSystemTime(Date.now() + milliseconds);
  };
  try {
    one.degraded('redis', 'slow');
    pass(1_500);
    one.degraded('redis', 'still');
    pass(500);
    one.recovered('redis');
    pass(10_000);
    one.degraded('redis', 'again');
    pass(1_000);
    expect(one.absences).toEqual([
      { dependency: 'redis', state: 'waiting', seconds: 0 },
      { dependency: 'redis', state: 'degraded', seconds: 3 },
    ]);
    one.waiting('redis', 'now it is needed');
    pass(4_000);
    expect(one.absences).toEqual([
      { dependency: 'redis', state: 'waiting', seconds: 4 },
      { dependency: 'redis', state: 'degraded', seconds: 3 },
    ]);
  } finally {
    vi.useRealTimers();
  }
});

test('an unknown path says which there are', async () => {
  expect(await get('/')).toMatchObject({ status: 404 });
});
