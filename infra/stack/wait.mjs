// @ts-check
import { setTimeout as sleep } from 'node:timers/promises';

export class DeadlineError extends Error {}

/**
 * Asks until the answer is true. Every wait of the stack goes through here, so none is without end.
 * @param {() => boolean | Promise<boolean>} check
 * @param {{ deadlineMs: number, everyMs?: number, signal?: AbortSignal | undefined }} limits
 */
export async function until(check, { deadlineMs, everyMs = 50, signal }) {
  const endsAt = performance.now() + deadlineMs;
  for (;;) {
    signal?.throwIfAborted();
    if (await check()) return;
    if (performance.now() >= endsAt) throw new DeadlineError(`not within ${deadlineMs / 1000} s`);
    await sleep(everyMs);
  }
}
