import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { examples, pythonCommand, run } from '../foreign-producers/toolchains.js';
import type { Installation } from '../installation/installation.js';
import { until } from '../installation/until.js';
import { WorkerProcess } from '../installation/worker-process.js';
import { installAcceptance } from './fixture.js';
import { WINDOWS_DEADLINE_MS, windowSums } from './influx.js';
import { Outcomes, everything } from './outcomes.js';

const COUNT = 5_000;
const ABORTED = 250;

/** The last line of the example's output. */
interface Summary {
  readonly written: number;
  readonly requests: number;
  readonly duplicates: number;
  readonly malformed: Readonly<Record<string, number>>;
  readonly aborted: number;
}

let installation: Installation;
let outcomes: Outcomes;
let worker: WorkerProcess;

beforeAll(async () => {
  installation = await installAcceptance('python');
  outcomes = await Outcomes.follow(installation);
  worker = await WorkerProcess.start(installation.variables, []);
}, 180_000);

afterAll(async () => {
  const ending = await worker.stop();
  await outcomes.close();
  await installation.remove();
  expect(ending, worker.log.slice(-4_000)).toEqual({ code: 0, signal: null });
}, 120_000);

const counted = (values: readonly string[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
};

test('5,000 messages of a Python producer end in the right topics, and InfluxDB counts them alike', async () => {
  const { kafka, registry } = installation.environment;
  const topic = installation.names.ingest('p1');
  const output = await run(await pythonCommand(), [
    path.join(examples, 'python', 'produce.py'),
    ...['--bootstrap', kafka.brokers.join(','), '--registry', registry.url, '--topic', topic],
    ...['--count', COUNT.toString(), '--compression', 'zstd', '--duplicates', '1'],
    ...['--malformed', '1', '--transactional', '--aborted', ABORTED.toString()],
    ...['--tenant', 'acme', '--business-line', 'promotions', '--template', 'welcome'],
    ...['--channels', 'app_push'],
  ]);
  const summary = JSON.parse(output.trim().split('\n').at(-1) ?? '') as Summary;
  expect(summary).toMatchObject({ written: COUNT, duplicates: 50, aborted: ABORTED });
  const malformed = Object.values(summary.malformed).reduce((sum, count) => sum + count, 0);
  expect(malformed).toBe(50);
  expect(summary.requests).toBe(COUNT - 100);

  await outcomes.until('every message to come to its end', () => outcomes.count >= COUNT, 90_000);
  const accepted = outcomes.feedback.map(({ value }) => value);
  expect(
    counted(accepted.map(({ state, terminal }) => `${state} ${terminal ? 'for good' : ''}`)),
  ).toEqual({
    'accepted for good': summary.requests,
  });
  expect(new Set(accepted.map(({ messageId }) => messageId)).size).toBe(summary.requests);
  expect(counted(outcomes.refused.map(({ value }) => value.reason))).toEqual({ duplicate: 50 });
  const ids = new Set<string | null>(accepted.map(({ messageId }) => messageId));
  for (const { value } of outcomes.refused) {
    expect(value.firstMessageId).toBe(value.messageId);
    expect(ids.has(value.messageId)).toBe(true);
  }
  const codes = outcomes.deadLetters.map(({ headers }) => String(headers['millrace-error-code']));
  expect(counted(codes)).toEqual(summary.malformed);
  expect(outcomes.parked).toEqual([]);
  // Of what was aborted nothing is anywhere.
  const deduped = await everything(installation, [installation.names.deduped('p1')]);
  expect(deduped).toHaveLength(summary.requests);

  const wanted = {
    messages: summary.requests,
    attempts: summary.requests,
    accepted: summary.requests,
    failed_recipient: 0,
    failed_content: 0,
    failed_account: 0,
    failed_provider: 0,
    throttled: 0,
    timeout: 0,
    unknown: 0,
    units: summary.requests,
    cost_micros: summary.requests * 2_000,
  };
  const fields = Object.keys(wanted) as (keyof typeof wanted)[];
  let sums = await windowSums(installation, fields);
  await until('the windows', WINDOWS_DEADLINE_MS, async () => {
    sums = await windowSums(installation, fields);
    // InfluxDB reads each field by itself: a point that is written meanwhile may show one and not another yet.
    return fields.every((field) => sums[field] >= wanted[field]);
  }).catch(() => undefined);
  expect(sums).toEqual(wanted);
}, 240_000);
