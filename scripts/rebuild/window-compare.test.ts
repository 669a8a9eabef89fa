import { expect, test } from 'vitest';
import { noCounts } from '../../processors/windows/counts.js';
import { mergingCodec, openCodec, partialsCodec } from '../../processors/windows/window-codec.js';
import { windowMerge } from '../../processors/windows/merge.js';
import type { WindowPartial } from '../../processors/windows/partial.js';
import { windowPartials } from '../../processors/windows/partials.js';
import { answer } from '../../processors/testing/feedback.js';
import { tenantId } from '../../schemas/brand.js';
import type {
  ChannelWindow,
  ConfigEntry,
  DeliveryFeedback,
  Lane,
} from '../../schemas/generated/records.js';
import { internalJson } from '../../schemas/internal-codec.js';
import type { Topic } from '../../schemas/record.js';
import { TestDriver } from '../../topologies/testing/driver.js';
import { stage, topology } from '../../topologies/topology.js';
import type { Comparison } from './window-compare.js';
import { compareWindows, keyOf } from './window-compare.js';
import { WindowFold } from './window-fold.js';

const LENGTH_MS = 10_000;
const OWN = new Set(['acme', 'beta']);

const compared = (feedback: readonly DeliveryFeedback[], change: Partial<Comparison> = {}) => {
  const fold = new WindowFold(LENGTH_MS);
  for (const one of feedback) fold.count(one);
  return compareWindows({
    partials: fold.take(0),
    held: new Map(),
    own: OWN,
    lengthMs: LENGTH_MS,
    coveredFrom: 0,
    forgottenTo: Infinity,
    now: 1,
    ...change,
  });
};
const NONE = { same: 0, rewritten: 0, missing: 0, open: 0, partly: 0, less: 0, otherwise: 0 };
const byKey = (windows: readonly ChannelWindow[]) =>
  new Map(windows.map((window) => [keyOf(window), window]));

test('what the live stages wrote is what is derived again, whatever partition and order it came in', async () => {
  const topic = <V>(name: string): Topic<V> => ({
    name,
    codec: internalJson<V>({ writes: 1, reads: 1 }),
  });
  const [feedback, windows] = [
    topic<DeliveryFeedback>('feedback'),
    topic<ChannelWindow>('windows'),
  ];
  const partials: Topic<WindowPartial> = { name: 'partials', codec: partialsCodec() };
  const config = topic<ConfigEntry>('config');
  const tables = { config };
  const driver = new TestDriver<object>(
    [
      topology('windows', [
        [
          stage(windowPartials({ mergerPartitions: 3 }), {
            from: { feedback },
            to: { partials },
            state: { open: { name: 'open', codec: openCodec() } },
            tables,
          }),
        ],
        [
          stage(windowMerge({ sourcePartitions: 3 }), {
            from: { partials },
            to: { windows },
            state: { merging: { name: 'merging', codec: mergingCodec() } },
            tables,
          }),
        ],
      ]),
    ],
    { ports: {}, partitions: 3 },
  );
  const account = { name: 'main', currency: 'CNY', initialCash: '1', initialUnits: 1 };
  for (const [kind, body] of [
    ['windows', { lengthMs: LENGTH_MS, graceMs: 2_000, silenceMs: 30_000, retentionMs: 60_000 }],
    ['tenants', [...OWN].map((id) => ({ id, businessLines: [account] }))],
  ] as const) {
    const entry = { kind, name: 'all', version: '1', body: JSON.stringify(body) };
    driver.write({
      topic: config.name,
      partition: null,
      key: Buffer.from(`${kind}/all`),
      value: config.codec.encode({ ...entry, appliedAt: 0, appliedBy: 'test' }),
    });
  }
  await driver.settle();
  const given: DeliveryFeedback[] = [];
  const lanes: readonly Lane[] = ['p0', 'p3'];
  const tenants = ['acme', 'beta', 'stranger'].map(tenantId);
  for (let index = 0; index < 300; index += 1) {
    const occurredAt = driver.clock.now() - (index % 7) * 1_500;
    const value = answer({
      occurredAt,
      attemptedAt: occurredAt - 20 - ((index * 37) % 900),
      tenantId: tenants[index % 3] ?? tenantId('acme'),
      lane: lanes[index % 2] ?? 'p0',
      ...(index % 5 === 0 && { state: 'failed', class: 'provider' }),
      ...(index % 11 === 0 && { state: 'delivered', sequence: 2 }),
    });
    given.push(value);
    await driver.pipe(feedback, [{ partition: index % 3, value }]);
    await driver.advance(250);
  }
  for (let second = 0; second < 30; second += 1) await driver.advance(1_000);

  const held = new Map<string, ChannelWindow>();
  for (const window of driver.read(windows)) held.set(keyOf(window), window);
  const { figures, toWrite } = compared(given.toReversed(), { held });
  expect(held.size).toBeGreaterThan(40);
  expect({ figures, toWrite }).toEqual({ figures: { ...NONE, same: held.size }, toWrite: [] });
});

test('each window counts once: missing, differing, incomplete, open, covered in part', () => {
  const feedback = [0, 1, 2, 3, 4, 5].map((index) => answer({ occurredAt: index * LENGTH_MS + 5 }));
  const all = byKey(
    compared(feedback).toWrite.filter(({ windowStart }) => windowStart !== 2 * LENGTH_MS),
  );
  for (const [key, window] of all) {
    if (window.windowStart === 3 * LENGTH_MS) all.set(key, { ...window, revision: 4, attempts: 0 });
    if (window.windowStart === 4 * LENGTH_MS)
      all.set(key, { ...window, revision: 1, complete: false });
  }
  const { figures, toWrite } = compared(feedback, {
    held: all,
    coveredFrom: LENGTH_MS,
    // A window that ends just then is still the mergers'.
    forgottenTo: 6 * LENGTH_MS,
  });
  // Two series each.
  expect(figures).toEqual({ ...NONE, partly: 2, same: 2, missing: 2, rewritten: 4, open: 2 });
  expect(
    toWrite
      .filter(({ series }) => series === 'channel')
      .map(({ windowStart, revision, attempts, complete }) => [
        windowStart / LENGTH_MS,
        revision,
        attempts,
        complete,
      ]),
  ).toEqual([
    [2, 0, 1, true],
    [3, 5, 1, true],
    [4, 2, 1, true],
  ]);
});

test('time that the topic counts in windows of another length is left alone: it would count twice', () => {
  const feedback = [0, 1, 2].map((index) => answer({ occurredAt: index * LENGTH_MS + 5 }));
  const [first] = compared(feedback).toWrite;
  if (first === undefined) throw new Error('nothing derived');
  const long = { ...first, windowStart: 0, windowMs: 2 * LENGTH_MS };
  expect(compared(feedback, { held: byKey([long]) }).figures).toEqual({
    ...NONE,
    otherwise: 5,
    missing: 2,
  });
});

test('a window that feedback knows nothing of is left alone, never emptied', () => {
  const { toWrite } = compared([answer({ occurredAt: 5 })]);
  expect(compared([], { held: byKey(toWrite) })).toEqual({
    figures: { ...NONE, otherwise: 2 },
    toWrite: [],
  });
});

test('a window that says more than feedback holds is left alone: feedback may have been lost', () => {
  const feedback = [answer({ occurredAt: 5 })];
  const { toWrite } = compared(feedback);
  const held = byKey(toWrite.map((window) => ({ ...window, accepted: 2 })));
  expect(compared(feedback, { held })).toEqual({ figures: { ...NONE, less: 2 }, toWrite: [] });
  // Money falls by what was paid back, and by nothing else.
  const dearer = byKey(toWrite.map((window) => ({ ...window, costMicros: 90_000n })));
  expect(compared(feedback, { held: dearer }).figures).toEqual({ ...NONE, less: 2 });
});

test('tenants that had or had no series of their own by an earlier configuration count once', () => {
  const feedback = ['acme', 'beta', 'stranger'].map((id) =>
    answer({ occurredAt: 5, tenantId: tenantId(id) }),
  );
  for (const before of [[], ['acme'], ['acme', 'beta', 'stranger'], ['stranger']]) {
    const held = byKey(compared(feedback, { own: new Set(before) }).toWrite);
    const { figures, toWrite } = compared(feedback, { held });
    expect({ before, figures, toWrite }).toEqual({
      before,
      figures: { ...NONE, same: held.size },
      toWrite: [],
    });
  }
});

test("a lost window of a tenant's own comes back as its own beside other", () => {
  const feedback = ['acme', 'stranger'].map((id) =>
    answer({ occurredAt: 5, tenantId: tenantId(id) }),
  );
  const held = byKey(compared(feedback).toWrite.filter(({ tenantId: of }) => of !== 'acme'));
  const { figures, toWrite } = compared(feedback, { held });
  expect(figures).toEqual({ ...NONE, same: 2, missing: 1 });
  expect(toWrite).toMatchObject([
    {
      tenantId: 'acme',
      revision: 0,
      ...noCounts(),
      attempts: 1,
      messages: 1,
      accepted: 1,
      units: 1,
      costMicros: 45_000n,
    },
  ]);
});

test('what comes out of the fold is whole from its time on, and comes out once', () => {
  const fold = new WindowFold(LENGTH_MS);
  for (const occurredAt of [5, LENGTH_MS + 5]) fold.count(answer({ occurredAt }));
  expect(fold.take(LENGTH_MS).map(({ windowStart }) => windowStart)).toEqual([
    LENGTH_MS,
    LENGTH_MS,
  ]);
  fold.count(answer({ occurredAt: 6 }));
  expect(fold.take(0).map(({ version }) => version)).toEqual([2, 2]);
  expect(fold.take(0)).toEqual([]);
});
