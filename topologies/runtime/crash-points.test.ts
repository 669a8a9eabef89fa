import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { PipelineError } from '../../schemas/error.js';
import { crashPoints } from './crash-points.js';

const deaths = (text: string | undefined) => {
  let count = 0;
  const at = crashPoints(text, () => {
    count += 1;
  });
  return { at, count: () => count };
};

test('a worker without CRASH_AT is told of no point at all', () => {
  expect(crashPoints(undefined)('send.p0')).toBeUndefined();
});

test('only the named task is told, and it dies at the n-th passing of the named point, once', () => {
  const { at, count } = deaths('send.p0.after-call:2');
  expect(at('send.p1')).toBeUndefined();
  expect(at('send.p0.1')).toBeUndefined();
  const pass = at('send.p0');
  pass?.('after-commit');
  pass?.('after-call');
  expect(count()).toBe(0);
  pass?.('after-call');
  pass?.('after-call');
  expect(count()).toBe(1);
});

test('lanes under a * count together', () => {
  const { at, count } = deaths('intake.*.after-gather:2');
  at('intake.p0')?.('after-gather');
  expect(count()).toBe(0);
  at('intake.p3')?.('after-gather');
  expect(count()).toBe(1);
  expect(at('send.p0')).toBeUndefined();
});

test('a file that comes later arms a running worker, and one that goes disarms it', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'millrace-crash-'));
  const file = path.join(folder, 'slot-0');
  const { at, count } = deaths(`@${file}`);
  const pass = at('send.p0');
  pass?.('after-call');
  writeFileSync(file, 'send.*.after-call:2');
  pass?.('after-call');
  pass?.('after-commit');
  at('intake.p0')?.('after-call');
  rmSync(file);
  pass?.('after-call');
  // Written again it counts anew.
  writeFileSync(file, 'send.*.after-call:2');
  at('send.p1')?.('after-call');
  expect(count()).toBe(0);
  pass?.('after-call');
  expect(count()).toBe(1);
  rmSync(folder, { recursive: true });
});

test.each(['send.p0', 'send.p0.after-lunch', 'after-call', 'send.p0.after-call:0'])(
  'CRASH_AT=%s is refused by name: a fault that never comes would prove nothing',
  (text) => {
    expect(() => crashPoints(text)).toThrow(PipelineError);
    expect(() => crashPoints(text)).toThrow(/^CRASH_AT is/);
  },
);
