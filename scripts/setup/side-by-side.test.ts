import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { sideBySide } from './side-by-side.mjs';

const never = new AbortController().signal;

/** Ends when it is told to, as a child process does: with a failure of its own. */
const untilToldToEnd = (signal: AbortSignal) =>
  new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => {
      reject(new Error('ended'));
    });
  });

describe('side by side', () => {
  it('does everything, in order, and never more at once than allowed', async () => {
    const begun: number[] = [];
    let running = 0;
    let most = 0;
    const work = async (item: number) => {
      begun.push(item);
      most = Math.max(most, (running += 1));
      await turn();
      running -= 1;
    };
    await sideBySide([1, 2, 3, 4, 5], work, { atOnce: 2, signal: never });
    expect(begun).toEqual([1, 2, 3, 4, 5]);
    expect(most).toBe(2);
  });

  it('throws the first failure, after the others were told to end, and begins nothing more', async () => {
    const begun: string[] = [];
    const work = async (item: string, signal: AbortSignal) => {
      begun.push(item);
      if (item === 'long') return untilToldToEnd(signal);
      await turn();
      throw new Error('the lint is red');
    };
    await expect(
      sideBySide(['long', 'red', 'after'], work, { atOnce: 2, signal: never }),
    ).rejects.toThrow('the lint is red');
    expect(begun).toEqual(['long', 'red']);
  });

  it('an interrupt reaches what runs and is not taken for success', async () => {
    const interrupt = new AbortController();
    const told: unknown[] = [];
    const work = async (_item: string, signal: AbortSignal) => {
      await new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => {
          told.push(signal.reason);
          resolve();
        });
        interrupt.abort('SIGINT');
      });
    };
    const all = sideBySide(['first', 'second'], work, { atOnce: 1, signal: interrupt.signal });
    await expect(all).rejects.toBe('SIGINT');
    expect(told).toEqual(['SIGINT']);
  });
});
