// @ts-check
import { OperatorError } from '../../infra/stack/operator-error.mjs';

/**
 * Refuses a Node outside `engines`. Only the forms ">=a.b", "<c" and their conjunction are read:
 * a full semver parser isn't there yet when this runs.
 * @param {string} version such as "20.19.1"
 * @param {string} range such as ">=20.19 <25"
 */
export function checkNode(version, range) {
  const fits = range
    .trim()
    .split(/\s+/)
    .every((part) => {
      const [, sign, bound] = part.match(/^(>=|<)(\d+(?:\.\d+){0,2})$/) ?? [];
      if (bound === undefined)
        throw new OperatorError(`engines.node has a form not known here: ${part}`);
      const order = compare(version, bound);
      return sign === '>=' ? order >= 0 : order < 0;
    });
  if (fits) return;
  throw new OperatorError(
    `This is Node ${version}; Millrace runs on Node ${range}.`,
    'Install a fitting one, such as Node 22, and run again.',
  );
}

/**
 * @param {string} a
 * @param {string} b
 */
function compare(a, b) {
  const parts = (/** @type {string} */ text) => text.split('.').map(Number);
  const [left, right] = [parts(a), parts(b)];
  for (const index of [0, 1, 2]) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
