import { describe, expect, test, vi } from 'vitest';
import { PipelineError } from '../../schemas/error.js';
import { type ChoreLockEvent, doChores } from './chores.js';

const log = { warn: vi.fn(), info: vi.fn() };
const lock = { release: () => Promise.resolve() };

describe('chores', () => {
  test('are done by the worker that holds the lock, and by the next one once it is free', async () => {
    let free = false;
    let runs = 0;
    let released = 0;
    const chores = doChores({
      chores: [
        {
          name: 'count',
          everyMs: 1,
          run: () => {
            runs += 1;
            return Promise.resolve();
          },
        },
      ],
      lock: () =>
        Promise.resolve(
          free
            ? {
                release: () => {
                  released += 1;
                  return Promise.resolve();
                },
              }
            : null,
        ),
      log,
      done: () => undefined,
      tryAgainMs: 1,
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(runs).toBe(0);
    free = true;
    await vi.waitFor(() => {
      expect(runs).toBeGreaterThan(2);
    });
    await chores.close();
    expect(released).toBe(1);
    const after = runs;
    await new Promise((resolve) => setImmediate(resolve));
    expect(runs).toBe(after);
  });

  test('one that fails is counted and tried again, and hinders no other', async () => {
    const outcomes: string[] = [];
    let fails = 2;
    const chores = doChores({
      chores: [
        {
          name: 'stumbles',
          everyMs: 1,
          run: () =>
            fails-- > 0
              ? Promise.reject(new PipelineError('postgres_unavailable', 'away'))
              : Promise.resolve(),
        },
        { name: 'steady', everyMs: 1, run: () => Promise.resolve() },
      ],
      lock: () => Promise.resolve(lock),
      log,
      done: (chore, outcome) => outcomes.push(`${chore} ${outcome}`),
    });
    await vi.waitFor(() => {
      expect(outcomes).toContain('stumbles done');
    });
    await chores.close();
    expect(outcomes.filter((one) => one === 'stumbles failed')).toHaveLength(2);
    expect(outcomes).toContain('steady done');
    expect(outcomes).not.toContain('steady failed');
  });

  test('rest while the lock is lost', async () => {
    let tell: (event: ChoreLockEvent) => void = () => undefined;
    let runs = 0;
    const chores = doChores({
      chores: [
        {
          name: 'count',
          everyMs: 1,
          run: () => {
            runs += 1;
            return Promise.resolve();
          },
        },
      ],
      lock: (onEvent) => {
        tell = onEvent;
        return Promise.resolve(lock);
      },
      log,
      done: () => undefined,
    });
    await vi.waitFor(() => {
      expect(runs).toBeGreaterThan(0);
    });
    tell('lost');
    const lost = runs;
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setTimeout(resolve, 1));
    expect(runs).toBe(lost);
    tell('regained');
    await vi.waitFor(() => {
      expect(runs).toBeGreaterThan(lost);
    });
    await chores.close();
  });

  test('a lock that cannot be asked for is asked for again', async () => {
    let asked = 0;
    let runs = 0;
    const chores = doChores({
      chores: [
        {
          name: 'count',
          everyMs: 1,
          run: () => {
            runs += 1;
            return Promise.resolve();
          },
        },
      ],
      lock: () => {
        asked += 1;
        return asked < 3
          ? Promise.reject(new PipelineError('postgres_unavailable', 'away'))
          : Promise.resolve(lock);
      },
      log,
      done: () => undefined,
      tryAgainMs: 1,
    });
    await vi.waitFor(() => {
      expect(runs).toBeGreaterThan(0);
    });
    await chores.close();
    expect(asked).toBe(3);
  });
});
