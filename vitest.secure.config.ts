import { defineConfig } from 'vitest/config';

/** What npm test leaves out: the whole pipeline with security on everywhere. Needs the stack's registry and InfluxDB. */
export default defineConfig({
  test: { include: ['scripts/secured/*.test.ts'], maxWorkers: 1, testTimeout: 60_000 },
});
