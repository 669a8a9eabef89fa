// @ts-check
/**
 * Progress for people. It goes to stderr whenever stdout belongs to a machine (`--json`).
 * @typedef {{ say: (line: string) => void,
 *   step: <T>(name: string, work: () => Promise<T>, note?: (answer: T) => string | null) => Promise<T> }} Progress
 */

/** @param {number} ms */
export const seconds = (ms) => (ms < 100 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

/**
 * @param {{ write: (text: string) => unknown }} stream
 * @returns {Progress}
 */
export function progressTo(stream) {
  const say = (/** @type {string} */ line) => {
    stream.write(`${line}\n`);
  };
  return {
    say,
    /** Prints the step with its time once it is done; a note of null keeps it silent. */
    async step(name, work, note = () => 'done') {
      const startedAt = performance.now();
      const answer = await work();
      const text = note(answer);
      if (text !== null) {
        say(`${name.padEnd(16)} ${text} (${seconds(performance.now() - startedAt)})`);
      }
      return answer;
    },
  };
}

/** @param {readonly string[]} args */
export const progressFor = (args) =>
  progressTo(args.includes('--json') ? process.stderr : process.stdout);
