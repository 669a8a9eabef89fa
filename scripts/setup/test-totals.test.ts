import { describe, expect, test } from 'vitest';
import { unaccounted } from './test-steps.mjs';
import { lastLine, vitestTotals } from './test-totals.mjs';

const report = (counts: Record<string, number>) => JSON.stringify(counts);

describe('the last line of npm test', () => {
  test('is vitest’s totals', () => {
    const totals = vitestTotals(report({ numPassedTests: 7, numFailedTests: 2 }), false);
    expect(lastLine(totals)).toBe('7 passed, 2 failed');
  });

  test('names skipped tests when there are any', () => {
    const counts = { numPassedTests: 7, numFailedTests: 0, numPendingTests: 1, numTodoTests: 2 };
    expect(lastLine(vitestTotals(report(counts), true))).toBe('7 passed, 0 failed, 3 skipped');
  });

  test('never says 0 failed of a run that failed', () => {
    const crashed = vitestTotals(report({ numPassedTests: 7, numFailedTests: 0 }), false);
    expect(lastLine(crashed)).toBe('7 passed, 1 failed');
    expect(lastLine(vitestTotals(null, false))).toBe('0 passed, 1 failed');
  });
});

describe('the small demo passes', () => {
  test.each([
    { it: 'with nothing unaccounted', stdout: '{"unaccounted":0}', wrong: null },
    { it: 'wherever its answer says so', stdout: '{"a":{"unaccounted":0}}', wrong: null },
  ])('$it', ({ stdout, wrong }) => {
    expect(unaccounted(stdout)).toBe(wrong);
  });

  test.each([
    { it: 'with a message unaccounted', stdout: '{"unaccounted":1}', wrong: 'unaccounted: 1' },
    { it: 'without saying', stdout: '{}', wrong: 'no "unaccounted"' },
    { it: 'with progress on its stdout', stdout: 'up\n{"unaccounted":0}', wrong: 'not one JSON' },
  ])('not $it', ({ stdout, wrong }) => {
    expect(unaccounted(stdout)).toContain(wrong);
  });
});
