// @ts-check
import { join } from 'node:path';
import { root, stackDir } from '../../infra/stack/paths.mjs';

const minuteMs = 60_000;

/**
 * A step of `npm test`: what runs, how long at most, and how a person runs it alone.
 * @typedef {{ name: string, command: string, args: string[], deadlineMs: number, alone: string,
 *   live?: boolean, check?: (stdout: string) => string | null }} Step
 *   live: its output is shown as it comes, not only when it fails; check: null or what is wrong
 */

/** @param {string} name of a script in package.json */
const script = (name) => ({
  command: 'npm',
  args: ['run', '--silent', name],
  deadlineMs: 10 * minuteMs,
  alone: `npm run ${name}`,
});

/** Need neither the stack nor each other: they run side by side, the longest first.
 * @type {readonly Step[]} */
export const staticSteps = [
  { name: 'lint', ...script('lint') },
  { name: 'format', ...script('format:check') },
  { name: 'types', ...script('types') },
  { name: 'unused', ...script('unused') },
  { name: 'imports', ...script('imports') },
  node('schemas', ['dist/scripts/schemas-generate.js', '--check'], 2 * minuteMs),
];

export const vitestReport = join(stackDir, 'vitest.json');

/** @type {Step} */
export const vitestStep = {
  name: 'vitest',
  command: process.execPath,
  args: [
    join(root, 'node_modules', 'vitest', 'vitest.mjs'),
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${vitestReport}`,
  ],
  deadlineMs: 40 * minuteMs,
  alone: 'npm run stack up && . .stack/env && npx vitest run',
  live: true,
};

/** @type {Step} */
export const demoStep = {
  ...node('demo', ['dist/scripts/demo/demo.js', '--messages', '1500', '--json'], 10 * minuteMs),
  alone: 'npm run demo -- --messages 1500 --json',
  check: unaccounted,
};

/**
 * @param {string} name
 * @param {string[]} args
 * @param {number} deadlineMs
 * @returns {Step}
 */
function node(name, args, deadlineMs) {
  return {
    name,
    command: process.execPath,
    args,
    deadlineMs,
    alone: `npm run build && node ${args.join(' ')}`,
  };
}

/**
 * A demo that ends well but can't say where a message went has not ended well.
 * @param {string} stdout
 * @returns {string | null}
 */
export function unaccounted(stdout) {
  let answer;
  try {
    answer = JSON.parse(stdout);
  } catch {
    return 'its standard output is not one JSON document';
  }
  const counts = valuesOf(answer, 'unaccounted');
  if (counts.length === 0) return 'its answer has no "unaccounted"';
  return counts.every((count) => count === 0) ? null : `unaccounted: ${counts.join(', ')}`;
}

/**
 * @param {unknown} value
 * @param {string} key
 * @returns {unknown[]}
 */
function valuesOf(value, key) {
  if (value === null || typeof value !== 'object') return [];
  return Object.entries(value).flatMap(([name, inner]) =>
    name === key ? [inner] : valuesOf(inner, key),
  );
}
