import { defineConfig } from 'vitest/config';

/** Of npm test, what security is about, alone: the whole pipeline with it on everywhere. Needs the stack's registry and InfluxDB. */
export default defineConfig({
  test: { include: ['scripts/secured/*.test.ts'], maxWorkers: 1, testTimeout: 60_000 },
});
