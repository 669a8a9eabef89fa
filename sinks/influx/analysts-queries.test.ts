import { readFileSync } from 'node:fs';
import path from 'node:path';
import { InfluxDB } from '@influxdata/influxdb-client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tenantId } from '../../schemas/brand.js';
import type { ChannelWindow } from '../../schemas/generated/records.js';
import { projectRoot } from '../../schemas/root.js';
import { channelWindowWriter } from './channel-windows.js';
import { influxQl } from './influxql.js';
import { levelPoint } from './points.js';
import { type ScratchBucket, scratchBucket } from './scratch-bucket.js';
import { writePoints } from './write-points.js';

/** Every query of docs/analysts.md, run as it stands there but for the bucket, over known points. */

type Language = 'influxql' | 'flux';
type Row = Readonly<Record<string, unknown>>;

const doc = readFileSync(path.join(projectRoot(), 'docs', 'analysts.md'), 'utf8');

const queries = [
  ...doc.matchAll(/<!-- query: ([a-z-]+) -->\n\n```(influxql|flux)\n([\s\S]*?)```/g),
].map(([, name = '', language = '', text = '']) => ({
  name,
  language: language as Language,
  text,
}));

const HOUR_MS = 3_600_000;
const LENGTH_MS = 300_000;
const now = Math.floor(Date.now() / LENGTH_MS) * LENGTH_MS;

const aWindow = (change: Partial<ChannelWindow>): ChannelWindow => ({
  series: 'channel',
  channel: 'sms',
  provider: 'aliyun',
  lane: 'p1',
  tenantId: null,
  windowStart: now - 30 * 60_000,
  windowMs: LENGTH_MS,
  revision: 0,
  complete: true,
  attempts: 0,
  messages: 0,
  accepted: 0,
  delivered: 0,
  failedRecipient: 0,
  failedContent: 0,
  failedAccount: 0,
  failedProvider: 0,
  throttled: 0,
  timeout: 0,
  unknown: 0,
  reversed: 0,
  costMicros: 0n,
  units: 0,
  errorRate: 0.5,
  latencyP50Ms: 10,
  latencyP95Ms: 20,
  latencyP99Ms: 30,
  latencyMaxMs: 40,
  queueAgeP99Ms: 50,
  closedAt: now,
  ...change,
});

const tenant = (id: string, change: Partial<ChannelWindow>): ChannelWindow =>
  aWindow({ series: 'tenant', provider: null, lane: null, tenantId: tenantId(id), ...change });

const WINDOWS: readonly ChannelWindow[] = [
  // sms, today: 150 errors in 2,000 attempts; aliyun 5 %, tencent 10 %.
  aWindow({
    lane: 'p0',
    attempts: 400,
    failedProvider: 30,
    delivered: 300,
    costMicros: 25_000_000n,
    latencyP99Ms: 800,
  }),
  aWindow({
    windowStart: now - 40 * 60_000,
    attempts: 600,
    timeout: 10,
    failedAccount: 10,
    failedRecipient: 500,
    delivered: 500,
    costMicros: 20_000_000n,
    latencyP99Ms: 900,
    latencyMaxMs: 950,
  }),
  aWindow({
    provider: 'tencent',
    attempts: 1_000,
    failedProvider: 100,
    delivered: 500,
    costMicros: 20_000_000n,
  }),
  // app_push, today: 20 % of too few attempts.
  aWindow({
    channel: 'app_push',
    provider: 'fcm',
    attempts: 100,
    failedProvider: 20,
    delivered: 50,
  }),
  // sms a week ago: 1 %.
  aWindow({ windowStart: now - 7 * 24 * HOUR_MS - 30 * 60_000, attempts: 500, failedProvider: 5 }),
  // Another length: never summed with the others.
  aWindow({ windowMs: 10_000, attempts: 999, failedProvider: 999, delivered: 999 }),
  tenant('acme', { messages: 10, costMicros: 4_500_000n, units: 12 }),
  tenant('acme', { channel: 'voice', messages: 1, costMicros: 500_000n, units: 1 }),
  tenant('other', { messages: 7, costMicros: 1_000_000n, units: 7 }),
];

/** What each query must answer, by channel or what else it names. */
const EXPECTED: Readonly<Record<string, readonly Row[]>> = {
  'error-rate-by-channel': [
    { channel: 'app_push', error_percent: 20, attempts: 100 },
    { channel: 'sms', error_percent: 7.5, attempts: 2_000 },
  ],
  'error-rate-over-time': [
    { channel: 'app_push', error_percent: 20 },
    { channel: 'sms', error_percent: expect.any(Number) as number },
  ],
  'worst-providers': [
    { channel: 'sms', provider: 'tencent', error_percent: 10 },
    { channel: 'sms', provider: 'aliyun', error_percent: 5 },
  ],
  'cost-per-delivered': [
    { channel: 'app_push', cost_per_delivered: 0, cost: 0, delivered: 50 },
    { channel: 'sms', cost_per_delivered: 0.05, cost: 65, delivered: 1_300 },
  ],
  'spend-by-tenant': [
    { tenant: 'acme', cost: 5, units: 13, messages: 11 },
    { tenant: 'other', cost: 1, units: 7, messages: 7 },
  ],
  'slo-burn': [
    { channel: 'app_push', burn: 20 },
    { channel: 'sms', burn: 7.5 },
  ],
  'slowest-providers': [
    { channel: 'app_push', provider: 'fcm', worst_p99_ms: 30, slowest_ms: 40 },
    { channel: 'sms', provider: 'aliyun', worst_p99_ms: 900, slowest_ms: 950 },
    { channel: 'sms', provider: 'tencent', worst_p99_ms: 30, slowest_ms: 40 },
  ],
  'breaker-changes': [{ scope: 'channel/sms/aliyun', level: 1, cause: 'error rate 10.0 %' }],
};

/** InfluxQL answers two results, Flux one table with a column each. */
const LAST_WEEK: Readonly<Record<Language, readonly Row[]>> = {
  influxql: [
    { channel: 'app_push', error_percent_today: 20 },
    { channel: 'sms', error_percent_today: 7.5 },
    { channel: 'sms', error_percent_last_week: 1 },
  ],
  flux: [
    { channel: 'app_push', today: 20 },
    { channel: 'sms', today: 7.5, last_week: 1 },
  ],
};

let bucket: ScratchBucket;

beforeAll(async () => {
  bucket = await scratchBucket();
  await channelWindowWriter(bucket)(WINDOWS);
  await writePoints(bucket)([
    levelPoint({
      scope: 'channel/sms/aliyun',
      channel: 'sms',
      provider: 'aliyun',
      level: 1,
      fromLevel: 0,
      rateFactor: 0.5,
      fromRateFactor: 1,
      avoid: true,
      cause: 'error rate 10.0 %',
      windowStart: now,
      windowMs: LENGTH_MS,
      errorRate: 0.1,
      attempts: 200,
      since: now,
      at: now,
      heartbeat: false,
    }),
  ]);
});
afterAll(async () => {
  await bucket.drop();
});

const rowsOf = async (language: Language, text: string): Promise<readonly Row[]> => {
  if (language === 'influxql') {
    const series = await influxQl(bucket)(text);
    return series.flatMap(({ tags, columns, values }) =>
      values.map((row) => ({
        ...tags,
        ...Object.fromEntries(columns.map((name, index) => [name, row[index]])),
      })),
    );
  }
  const { url, token, org } = bucket;
  const api = new InfluxDB({ url, token }).getQueryApi(org);
  return api.collectRows<Row>(text.replaceAll('millrace/autogen', bucket.bucket));
};

describe('docs/analysts.md', () => {
  test('names every query block, so that none goes unrun', () => {
    const blocks = doc.match(/```(influxql|flux)\n/g)?.length;
    expect(queries).toHaveLength(blocks ?? 0);
    const known = new Set([...Object.keys(EXPECTED), 'compare-to-last-week']);
    expect(new Set(queries.map(({ name }) => name))).toEqual(known);
  });

  test.each(queries)('$name answers what it says ($language)', async ({ name, language, text }) => {
    const found = await rowsOf(language, text);
    const expected = name === 'compare-to-last-week' ? LAST_WEEK[language] : EXPECTED[name];
    const numbers = (row: Row): Row =>
      Object.fromEntries(
        Object.entries(row).map(([key, value]) => [
          key,
          typeof value === 'number' ? Number(value.toFixed(9)) : value,
        ]),
      );
    const rows = found.map(numbers);
    for (const row of expected ?? []) expect(rows).toContainEqual(expect.objectContaining(row));
    // Over time one channel may fall into two hours.
    if (name !== 'error-rate-over-time') expect(rows).toHaveLength(expected?.length ?? 0);
  });

  test.each(['channel_window', 'tenant_window', 'breaker_level'])(
    'its table names the tags and fields of %s',
    async (measurement) => {
      const row = doc.split('\n').find((line) => line.startsWith(`| \`${measurement}\``)) ?? '';
      const described =
        measurement === 'tenant_window'
          ? `${row}${doc.split('\n').find((line) => line.startsWith('| `channel_window`')) ?? ''}`
          : row;
      const ask = influxQl(bucket);
      for (const what of ['FIELD', 'TAG']) {
        const [series] = await ask(`SHOW ${what} KEYS FROM "${measurement}"`);
        expect(series?.values.length).toBeGreaterThan(0);
        for (const [key] of series?.values ?? []) expect(described).toContain(`\`${String(key)}\``);
      }
    },
  );
});
