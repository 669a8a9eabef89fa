import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { demoConfig } from '../demo/demo-config.js';
import { PEAK_FACTOR, arrivals } from './arrivals.js';
import { catalogOf } from './catalog.js';
import { CLEAN, REALISTIC, generate } from './generate.js';
import type { Planned } from './planned.js';
import { valueOf } from './planned.js';
import { seeded, zipf } from './random.js';

const catalog = catalogOf(demoConfig('http://127.0.0.1:1'));
const traffic = (seed: number, messages: number, startAt = 1_700_000_000_000): Planned[] => [
  ...generate({ seed, messages, startAt, durationMs: 60_000, catalog }),
];
const requestOf = (planned: Planned) => planned.payload.request;
const keyOf = (planned: Planned) => {
  const { tenantId, idempotencyKey, messageId } = requestOf(planned);
  return `${tenantId}|${idempotencyKey ?? messageId}`;
};

describe('generated traffic', () => {
  test('is the same for the same seed, whenever it starts', () => {
    const shape = (all: Planned[]) =>
      all.map((p) => [p.lane, p.key, p.kind, p.reason, p.at, requestOf(p).businessLine]);
    expect(shape(traffic(7, 3_000))).toEqual(shape(traffic(7, 3_000, 1_800_000_000_000)));
    expect(traffic(7, 500)).toEqual(traffic(7, 500));
    expect(shape(traffic(7, 500))).not.toEqual(shape(traffic(8, 500)));
  });

  test('has every kind in about its share, and lanes 10, 20, 30, 40 %', () => {
    const all = traffic(1, 40_000);
    const share = (is: (planned: Planned) => boolean) => all.filter(is).length / all.length;
    // Four standard deviations of a binomial share.
    for (const [kind, wanted] of Object.entries(REALISTIC))
      expect(Math.abs(share((p) => p.kind === kind) - wanted)).toBeLessThan(
        4 * Math.sqrt(wanted / all.length),
      );
    for (const [lane, wanted] of [
      ['p0', 0.1],
      ['p1', 0.2],
      ['p2', 0.3],
      ['p3', 0.4],
    ] as const)
      expect(share((p) => p.lane === lane)).toBeCloseTo(wanted, 1);
  });

  test('repeats each original once, and only deliverable ones', () => {
    const all = traffic(3, 20_000);
    const deliverable = new Map(
      all.filter((p) => p.kind === 'deliverable').map((p) => [keyOf(p), requestOf(p)]),
    );
    const repeats = all.filter((p) => p.kind === 'duplicate' || p.kind === 'conflict');
    expect(new Set(repeats.map(keyOf)).size).toBe(repeats.length);
    for (const repeat of repeats) {
      const original = deliverable.get(keyOf(repeat));
      expect(original).toBeDefined();
      if (repeat.kind === 'duplicate') expect(requestOf(repeat)).toEqual(original);
      else expect(requestOf(repeat).params).not.toEqual(original?.params);
    }
  });

  test('what cannot be afforded comes from an account without that budget, and nothing else does', () => {
    for (const planned of traffic(5, 20_000)) {
      const { tenantId } = requestOf(planned);
      expect(tenantId === 'hooli').toBe(planned.kind === 'unaffordable');
    }
  });

  test('clean traffic has nothing wrong with it', () => {
    const all = generate({
      seed: 1,
      messages: 2_000,
      startAt: 0,
      durationMs: 1_000,
      catalog,
      shares: CLEAN,
      lane: 'p2',
    });
    for (const planned of all) expect([planned.kind, planned.lane]).toEqual(['deliverable', 'p2']);
  });

  test('what is malformed is not what was encoded', () => {
    const encoded = Buffer.concat([Buffer.from([0, 0, 0, 0, 1]), Buffer.alloc(100, 7)]);
    const [first] = traffic(1, 1);
    if (first === undefined) throw new Error('no traffic');
    const { request } = first.payload;
    for (const how of ['not_framed', 'unknown_schema', 'truncated', 'tombstone'] as const)
      expect(valueOf({ form: 'malformed', how, request }, () => encoded)).not.toEqual(encoded);
    expect(encoded.length).toBe(105);
    expect(encoded[4]).toBe(1);
  });
});

test('arrivals ascend within their time, and their peak is the stated multiple of their mean', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5_000 }),
      fc.integer({ min: 1, max: 100_000 }),
      (n, ms) => {
        const offsets = arrivals(n, ms);
        for (let i = 0; i < n; i++) {
          expect(offsets[i]).toBeGreaterThanOrEqual(i === 0 ? 0 : (offsets[i - 1] ?? 0));
          expect(offsets[i]).toBeLessThanOrEqual(ms);
        }
      },
    ),
    { numRuns: 50 },
  );
  const offsets = arrivals(100_000, 100_000);
  const perSecond = new Array<number>(100).fill(0);
  for (const at of offsets) {
    const second = Math.min(99, Math.floor(at / 1_000));
    perSecond[second] = (perSecond[second] ?? 0) + 1;
  }
  expect(Math.max(...perSecond) / 1_000).toBeCloseTo(PEAK_FACTOR, 1);
  expect(Math.min(...perSecond)).toBeGreaterThan(0);
});

test('recipients are Zipf: the first rank is drawn in proportion to its weight', () => {
  const random = seeded(1);
  const draw = zipf(1_000, 1);
  const counts = new Map<number, number>();
  for (let i = 0; i < 50_000; i++) {
    const rank = draw(random);
    counts.set(rank, (counts.get(rank) ?? 0) + 1);
  }
  expect((counts.get(0) ?? 0) / (counts.get(9) ?? 1)).toBeCloseTo(10, -0.5);
  expect(Math.max(...counts.keys())).toBeLessThan(1_000);
});
