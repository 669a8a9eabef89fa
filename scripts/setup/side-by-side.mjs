// @ts-check

/**
 * Does the work of all items, a few at a time, in their order. After the first failure nothing is
 * begun any more and what still runs is told to end; it is that failure that is thrown, once all
 * have ended, and not what the others say about being ended.
 * @template T
 * @param {readonly T[]} items
 * @param {(item: T, signal: AbortSignal) => Promise<unknown>} work
 * @param {{ atOnce: number, signal: AbortSignal }} options
 */
export async function sideBySide(items, work, { atOnce, signal }) {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const waiting = [...items];
  /** @type {unknown[]} */
  const failures = [];
  const lane = async () => {
    while (!either.aborted) {
      const item = waiting.shift();
      if (item === undefined) return;
      try {
        await work(item, either);
      } catch (error) {
        failures.push(error);
        stop.abort('SIGTERM');
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  if (failures.length > 0) throw failures[0];
  signal.throwIfAborted();
}
