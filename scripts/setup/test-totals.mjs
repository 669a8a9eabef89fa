// @ts-check
/**
 * @typedef {{ passed: number, failed: number, skipped: number }} Totals
 */

/**
 * Totals of vitest's JSON report. A run that failed without a failed test (a file that doesn't
 * load, an error outside a test) counts one failure.
 * @param {string | null} report
 * @param {boolean} succeeded exit code 0
 * @returns {Totals}
 */
export function vitestTotals(report, succeeded) {
  const {
    numPassedTests = 0,
    numFailedTests = 0,
    numPendingTests = 0,
    numTodoTests = 0,
  } = report === null ? {} : JSON.parse(report);
  return {
    passed: numPassedTests,
    failed: succeeded ? numFailedTests : Math.max(1, numFailedTests),
    skipped: numPendingTests + numTodoTests,
  };
}

/** @param {Totals} totals */
export const lastLine = ({ passed, failed, skipped }) =>
  `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
