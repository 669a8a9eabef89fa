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
    // Two cores: more workers than that only make time-outs likelier.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
