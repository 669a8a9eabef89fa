/**
 * Resolves once `holds` does.
 * @param what where it is a function: asked when the time is over, e.g. for what was seen last
 * @throws Error naming what did not come in time
 */
export const until = async (
  what: string | (() => string),
  deadlineMs: number,
  holds: () => boolean | Promise<boolean>,
): Promise<void> => {
  const end = Date.now() + deadlineMs;
  while (!(await holds())) {
    if (Date.now() > end)
      throw new Error(
        `not in ${deadlineMs / 1_000} s: ${typeof what === 'string' ? what : what()}`,
      );
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};
