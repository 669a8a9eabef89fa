#!/usr/bin/env -S node --max-semi-space-size=128
'use strict';
// The young generation holds what a batch of thousands makes: with Node's default of 16 MiB much of it is copied instead
// of dropped (docs/performance.md). Node takes this only when it starts.
// CommonJS on purpose: libuv reads UV_THREADPOOL_SIZE once, when its pool is first used, and importing an ES module
// already uses it. Each consumer that waits for records holds one thread of the pool, and so does each call that a
// broker keeps waiting: two for each of a worker's thirty tasks (exactly-once.md, rule 14). With the default of 4 a
// worker would stand still.
process.env.UV_THREADPOOL_SIZE ??= '128';

const { existsSync, readdirSync, statSync } = require('node:fs');
const path = require('node:path');
const { pathToFileURL } = require('node:url');

const root = path.dirname(__dirname);
const compiled = path.join(root, 'dist', 'scripts', 'millrace.js');
const SOURCES = ['schemas', 'processors', 'sinks', 'topologies', 'infra', 'scripts'];

/** The first source that was saved after the last build, if any. */
const newerSource = (builtAt) => {
  for (const folder of SOURCES) {
    for (const file of readdirSync(path.join(root, folder), { recursive: true })) {
      if (!file.endsWith('.ts') || file.endsWith('.test.ts') || file.endsWith('.test-d.ts'))
        continue;
      const source = path.join(folder, file);
      if (statSync(path.join(root, source)).mtimeMs > builtAt) return source;
    }
  }
  return undefined;
};

if (!existsSync(compiled)) {
  console.error('millrace: not built yet (no dist/ here). Run: npm run setup');
  process.exit(1);
}
const buildInfo = path.join(root, 'dist', '.tsbuildinfo');
const newer = newerSource(statSync(existsSync(buildInfo) ? buildInfo : compiled).mtimeMs);
if (newer !== undefined)
  console.error(
    `millrace: ${newer} is newer than dist/; this runs the older build. Run: npm run build`,
  );

import(pathToFileURL(compiled).href).then(
  ({ main }) => main(process.argv),
  (error) => {
    console.error(
      `millrace: ${error.message}\nThe build is broken or incomplete. Run: npm run setup`,
    );
    process.exitCode = 1;
  },
);
