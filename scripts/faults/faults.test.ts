import { expect, test } from 'vitest';
import { runFaults } from './run-faults.js';

/*
 * A selection that fits into `npm test`: workers and carriers of the shared stack, whose other parts nobody may break.
 * `npm run faults` breaks those too, on a cluster of its own (docs/faults.md).
 */
const MINUTES = 0.4;
const DEADLINE_MS = 300_000;

test(
  'workers that die, stand still and come back, and carriers in trouble: nothing is lost, nothing is doubled',
  async () => {
    const lines: string[] = [];
    const report = await runFaults({
      minutes: MINUTES,
      seed: 11,
      families: ['crash', 'rebalance', 'dependency'],
      rate: 100,
      shared: true,
      portBase: 0,
      variables: process.env,
      signal: new AbortController().signal,
      say: (line) => lines.push(line),
    });
    const said = lines.join('\n');
    expect(report.problems, said).toEqual([]);
    expect(report, said).toMatchObject({
      lost: 0,
      duplicated: 0,
      doubleDebited: 0,
      doubleSubmitted: 0,
    });
    // Were nothing broken, it would say nothing.
    expect(Object.keys(report.faults).length, said).toBeGreaterThanOrEqual(3);
    expect(report.records).toBeGreaterThan(1_000);
  },
  DEADLINE_MS,
);
