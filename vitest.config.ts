import { configDefaults, defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{schemas,processors,sinks,topologies,infra,scripts}/**/*.test.ts'],
    // Four workers and a broker of its own: npm run test:secure.
    exclude: [...configDefaults.exclude, 'scripts/secured/delivery.test.ts'],
    typecheck: {
      enabled: true,
      include: ['topologies/testing/**/*.test-d.ts'],
      tsconfig: './tsconfig.json',
    },
    // Most of them wait most of the time: on two cores two files at a time take 805 s and leave half of both idle, three 570 s.
    maxWorkers: 3,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
