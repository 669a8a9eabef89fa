/** What doctor says of one thing it looked at. */
export interface Finding {
  /** e.g. kafka, topics, clock. */
  readonly area: string;
  readonly state: 'good' | 'note' | 'bad';
  /** In a line. */
  readonly what: string;
  /** The command or change that puts it right; with note and bad. */
  readonly fix?: string;
}

export const good = (area: string, what: string): Finding => ({ area, state: 'good', what });
export const note = (area: string, what: string, fix: string): Finding => ({
  area,
  state: 'note',
  what,
  fix,
});
export const bad = (area: string, what: string, fix: string): Finding => ({
  area,
  state: 'bad',
  what,
  fix,
});

/** A check's findings; one that throws is a finding itself, so that the others still speak. */
export const checked = async (
  area: string,
  fix: string,
  check: () => Promise<readonly Finding[]>,
): Promise<readonly Finding[]> => {
  try {
    return await check();
  } catch (thrown) {
    const words = thrown instanceof Error ? thrown.message : String(thrown);
    return [bad(area, words.split('\n')[0] ?? words, fix)];
  }
};

/** Milliseconds that something took. */
export const timed = async <T>(
  run: () => Promise<T>,
): Promise<{ readonly result: T; readonly ms: number }> => {
  const started = performance.now();
  const result = await run();
  return { result, ms: Math.round(performance.now() - started) };
};
