/** Waits until `atMs` after the start; the next call may be for an earlier time, and then does not wait. */
export const pacer = (startMs: number): ((atMs: number) => Promise<void>) => {
  return async (atMs) => {
    const wait = startMs + atMs - Date.now();
    // Timers are exact to about a millisecond: shorter waits would only slow a fast rate down.
    if (wait >= 2) await new Promise((resolve) => setTimeout(resolve, wait));
  };
};
