import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { projectRoot } from '../../schemas/root.js';
import { blocksOf } from '../testing/documented.js';

const DOCUMENTS = 'docs/operators';
/** Reference, not runbooks: their commands are examples, and the set-up's own tests run them. */
const REFERENCE = ['commands.md', 'security.md', 'local-stack.md'];
const runbooks = readdirSync(path.join(projectRoot(), DOCUMENTS)).filter(
  (file) => !REFERENCE.includes(file) && file !== 'README.md',
);
const here = path.join(projectRoot(), 'scripts', 'runbooks');
const tests = readdirSync(here)
  .filter((file) => file.endsWith('.test.ts'))
  .map((file) => readFileSync(path.join(here, file), 'utf8'))
  .join('\n');

test.each(runbooks)('every block of commands in %s has a name, and a test that runs it', (file) => {
  for (const { name, text } of blocksOf(path.join(DOCUMENTS, file))) {
    expect(name, text).not.toBe('');
    expect(tests, name).toContain(`'${name}'`);
  }
});

test('the index names every runbook', () => {
  const index = readFileSync(path.join(projectRoot(), DOCUMENTS, 'README.md'), 'utf8');
  for (const file of runbooks) expect(index).toContain(`(${file})`);
});
