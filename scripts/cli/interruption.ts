/**
 * Runs with a signal that Ctrl-C or SIGTERM aborts, once: work is then brought to a clean end. A second one ends the
 * process as always.
 */
export const interruptible = async <T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> => {
  const interruption = new AbortController();
  const interrupt = (): void => {
    interruption.abort();
  };
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const one of signals) process.once(one, interrupt);
  try {
    return await run(interruption.signal);
  } finally {
    for (const one of signals) process.off(one, interrupt);
  }
};

/**
 * Aborted by Ctrl-C or SIGTERM; again and again: a second one must not leave behind what a program that runs servers of
 * its own has started.
 */
export const untilInterrupted = (): AbortSignal => {
  const interruption = new AbortController();
  for (const one of ['SIGINT', 'SIGTERM'] as const)
    process.on(one, () => {
      interruption.abort();
    });
  return interruption.signal;
};
