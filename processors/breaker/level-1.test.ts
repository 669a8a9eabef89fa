import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { breakerSchema } from '../../schemas/config.js';
import { type Judgement, type Level1, type Tally, judge, opened } from './level-1.js';

const rules = breakerSchema.parse({ level1: {} }).level1;
const WINDOW_MS = 300_000;

const windowAt = (index: number, attempts: number, errors: number): Tally => ({
  windowStart: index * WINDOW_MS,
  windowMs: WINDOW_MS,
  attempts,
  errors,
});

/** Judges after each window, as it would close one after the other. */
const follow = (
  windows: readonly Tally[],
  from: Level1 = opened(0),
): { readonly level1: Level1; readonly changes: readonly Judgement[] } => {
  let level1 = from;
  const changes: Judgement[] = [];
  for (let count = 1; count <= windows.length; count++) {
    const judgement = judge(level1, windows.slice(0, count), rules, count * WINDOW_MS);
    if (judgement === null) continue;
    level1 = judgement.level1;
    if (judgement.cause !== null) changes.push(judgement);
  }
  return { level1, changes };
};

const lowered: Level1 = { ...opened(0), rateFactor: 0.5, loweredBy: 0 };

describe('level 1', () => {
  const rows: readonly {
    readonly it: string;
    readonly from?: Level1;
    readonly windows: readonly (readonly [attempts: number, errors: number])[];
    readonly rates: readonly number[];
  }[] = [
    { it: 'trips above 8 % of at least 200', windows: [[200, 17]], rates: [0.5] },
    { it: 'does not trip at 8 %', windows: [[200, 16]], rates: [] },
    { it: 'does not trip on 12 errors in 100', windows: [[100, 12]], rates: [] },
    {
      it: 'halves again each bad window, with a bound that falls with the rate, down to the floor',
      windows: [
        [200, 100],
        [100, 50],
        [50, 25],
        [25, 20],
        [20, 20],
        [20, 20],
        [20, 20],
      ],
      rates: [0.5, 0.25, 0.125, 0.0625, 0.03125],
    },
    {
      it: 'does not halve again on fewer than its share of attempts',
      windows: [
        [200, 100],
        [99, 99],
      ],
      rates: [0.5],
    },
    {
      it: 'recovers after three good windows and enough probes',
      from: lowered,
      windows: [
        [200, 100],
        [10, 0],
        [10, 0],
        [10, 0],
      ],
      rates: [1],
    },
    {
      it: 'gathers probes over more windows where each has few',
      from: lowered,
      windows: [
        [200, 100],
        [4, 0],
        [4, 0],
        [4, 0],
        [4, 0],
        [4, 0],
      ],
      rates: [1],
    },
    {
      it: 'does not recover by windows between 5 % and 8 %',
      from: lowered,
      windows: [
        [200, 100],
        [100, 6],
        [100, 6],
        [100, 6],
        [100, 6],
      ],
      rates: [],
    },
    {
      it: 'counts the run of good windows anew after one that is not',
      from: lowered,
      windows: [
        [200, 100],
        [100, 0],
        [90, 6],
        [100, 0],
        [100, 0],
      ],
      rates: [],
    },
    {
      it: 'climbs one step a window, each with probes of its own',
      from: { ...lowered, rateFactor: 0.125 },
      windows: [
        [200, 100],
        [30, 0],
        [30, 0],
        [30, 0],
        [30, 0],
        [10, 0],
        [10, 0],
      ],
      rates: [0.25, 0.5, 1],
    },
  ];

  test.each(rows)('$it', ({ from, windows, rates }) => {
    const { changes } = follow(
      windows.map(([attempts, errors], index) => windowAt(index, attempts, errors)),
      from,
    );
    expect(changes.map(({ level1 }) => level1.rateFactor)).toEqual(rates);
  });

  test('says why: the rule, the figures and the window', () => {
    const [change] = follow([windowAt(0, 200, 20)]).changes;
    expect(change).toMatchObject({
      cause:
        'error rate 10.0 % of 200 attempts is above 8.0 % (at least 200 attempts): rate 1 → 0.5',
      window: windowAt(0, 200, 20),
    });
  });

  test('a revision of a window that has lowered does not lower again', () => {
    const { level1 } = follow([windowAt(0, 200, 20)]);
    expect(judge(level1, [windowAt(0, 400, 100)], rules, WINDOW_MS + 1)).toBeNull();
  });

  test('a revision may turn a window bad that was good, and counts then', () => {
    const { level1 } = follow([windowAt(0, 200, 0)]);
    const judgement = judge(level1, [windowAt(0, 300, 100)], rules, WINDOW_MS + 1);
    expect(judgement?.level1.rateFactor).toBe(0.5);
  });

  test('an old window that turns bad late is overruled by the good ones after it', () => {
    const good = [1, 2, 3].map((index) => windowAt(index, 200, 0));
    expect(judge(opened(0), [windowAt(0, 200, 100), ...good], rules, 5 * WINDOW_MS)).toBeNull();
  });

  test('nothing changes sooner than the minimum time in a state', () => {
    const slow = { ...rules, minDwellMs: 60_000 };
    const windows = [windowAt(0, 200, 100)];
    expect(judge(opened(0), windows, slow, 59_999)).toBeNull();
    expect(judge(opened(0), windows, slow, 60_000)?.level1.rateFactor).toBe(0.5);
  });

  test('without probes a lowered scope tries more after a time-out', () => {
    expect(judge(lowered, [], rules, rules.stuckAfterMs - 1)).toBeNull();
    expect(judge(lowered, [], rules, rules.stuckAfterMs)?.level1.rateFactor).toBe(1);
  });

  test('bad windows at the floor put the time-out off', () => {
    const floor: Level1 = { ...lowered, rateFactor: rules.minRateFactor };
    const bad = judge(floor, [windowAt(5, 100, 100)], rules, 10_000);
    expect(bad).toMatchObject({ cause: null, level1: { quietSince: 10_000 } });
    if (bad !== null)
      expect(judge(bad.level1, [windowAt(5, 100, 100)], rules, rules.stuckAfterMs)).toBeNull();
  });
});

const history = fc.array(
  fc.record({
    attempts: fc.oneof(fc.nat(30), fc.nat(1_000)),
    share: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1, noNaN: true })),
    sameWindow: fc.boolean(),
    passMs: fc.nat(2 * WINDOW_MS),
  }),
  { minLength: 1, maxLength: 40 },
);

/** Windows with revisions, judged at each step: the states on the way. */
const play = (steps: typeof history extends fc.Arbitrary<infer T> ? T : never) => {
  const windows: Tally[] = [];
  let level1 = opened(0);
  let now = 0;
  const turns: { before: Level1; judgement: Judgement }[] = [];
  for (const { attempts, share, sameWindow, passMs } of steps) {
    now += passMs;
    const last = windows.at(-1);
    const index = last === undefined ? 0 : last.windowStart / WINDOW_MS + (sameWindow ? 0 : 1);
    if (sameWindow) windows.pop();
    windows.push(windowAt(index, attempts, Math.round(attempts * share)));
    const judgement = judge(level1, windows, rules, now);
    if (judgement === null) continue;
    turns.push({ before: level1, judgement });
    level1 = judgement.level1;
  }
  return { level1, windows, now, turns };
};

describe('whatever the windows and their revisions say', () => {
  test('the rate stays between the floor and 1, and moves by one step', () => {
    fc.assert(
      fc.property(history, (steps) => {
        for (const { before, judgement } of play(steps).turns) {
          const after = judgement.level1.rateFactor;
          expect(after).toBeGreaterThanOrEqual(rules.minRateFactor);
          expect(after).toBeLessThanOrEqual(1);
          if (judgement.cause !== null)
            expect([before.rateFactor / 2, before.rateFactor * 2]).toContain(after);
          else expect(after).toBe(before.rateFactor);
        }
      }),
    );
  });

  test('one window lowers at most once and raises at most once', () => {
    fc.assert(
      fc.property(history, (steps) => {
        const used = new Set<string>();
        for (const { before, judgement } of play(steps).turns) {
          if (judgement.cause === null || judgement.window === null) continue;
          const direction = judgement.level1.rateFactor < before.rateFactor ? 'down' : 'up';
          const key = `${direction} ${String(judgement.window.windowStart)}`;
          expect(used).not.toContain(key);
          used.add(key);
        }
      }),
    );
  });

  test('down only by a window above 8 %, up by windows only below 5 %: between the two nothing moves', () => {
    fc.assert(
      fc.property(history, (steps) => {
        for (const { before, judgement } of play(steps).turns) {
          if (judgement.window === null) continue;
          const rate = judgement.window.errors / judgement.window.attempts;
          if (judgement.level1.rateFactor > before.rateFactor)
            expect(rate).toBeLessThan(rules.recoverErrorRate);
          else expect(rate).toBeGreaterThan(rules.tripErrorRate);
        }
      }),
    );
  });

  test('no state is stuck: without another bad window the full rate returns within its time-outs', () => {
    fc.assert(
      fc.property(history, (steps) => {
        const { windows, now, ...played } = play(steps);
        let { level1 } = played;
        const most = Math.ceil(Math.log2(1 / rules.minRateFactor)) + 1;
        for (let turn = 1; turn <= most; turn++) {
          const later = now + turn * rules.stuckAfterMs;
          level1 = judge(level1, windows, rules, later)?.level1 ?? level1;
        }
        expect(level1.rateFactor).toBe(1);
      }),
    );
  });
});
