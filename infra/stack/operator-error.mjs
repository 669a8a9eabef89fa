// @ts-check
/**
 * A failure the person at the keyboard can act on: one line of what happened, one of what to do.
 * Everything else that reaches a main is a defect of ours and says so.
 */
export class OperatorError extends Error {
  /**
   * @param {string} message what happened
   * @param {string} [advice] what to do about it
   * @param {string[]} [evidence] last log lines, when a process died
   */
  constructor(message, advice, evidence = []) {
    super(message);
    this.advice = advice;
    this.evidence = evidence;
  }
}

/**
 * What the system calls a failure, such as EEXIST.
 * @param {unknown} error
 */
export const codeOf = (error) =>
  error instanceof Error && 'code' in error ? error.code : undefined;

/** @param {unknown} error */
export const messageOf = (error) => (error instanceof Error ? error.message : String(error));

/** @param {unknown} error */
export function describe(error) {
  if (error instanceof OperatorError) {
    return [...error.evidence.map((line) => `    ${line}`), error.message, error.advice]
      .filter((line) => line !== undefined)
      .join('\n');
  }
  if (process.env['MILLRACE_DEBUG'] && error instanceof Error) return error.stack ?? error.message;
  return `unexpected: ${messageOf(error)}\nThis is a defect here, not of your machine; MILLRACE_DEBUG=1 shows where it happened.`;
}

/**
 * Runs a command's main: its answer is the exit code, its error becomes readable lines on stderr.
 * @param {() => Promise<number>} main
 */
export async function runMain(main) {
  try {
    process.exitCode = await main();
  } catch (error) {
    process.stderr.write(`${describe(error)}\n`);
    process.exitCode = 1;
  }
}
