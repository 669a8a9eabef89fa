import { execFile } from 'node:child_process';
import { expect, test } from 'vitest';
import { MILLRACE } from '../installation/installation.js';
import { SECRETS } from './fixture.js';

/** Nobody listens on port 1. */
const NOWHERE = '127.0.0.1:1';
/** "Within seconds", on a machine that is busy. */
const DEADLINE_MS = 20_000;

/** Said in a checkout where sources were saved after the last build: nothing that an installation says. */
const STALE = /is newer than dist/;

interface Ended {
  readonly code: number | null;
  readonly said: readonly string[];
  readonly milliseconds: number;
}

const millrace = (args: readonly string[], variables: Record<string, string>): Promise<Ended> =>
  new Promise((resolve) => {
    const started = Date.now();
    const env = { ...process.env, ...SECRETS, ...variables };
    const child = execFile(process.execPath, [MILLRACE, ...args], { env }, (_, stdout, stderr) => {
      resolve({
        code: child.exitCode,
        said: (stdout + stderr).split('\n').filter((line) => line !== '' && !STALE.test(line)),
        milliseconds: Date.now() - started,
      });
    });
  });

const ENVIRONMENT = {
  KAFKA_BROKERS: NOWHERE,
  RECIPIENT_HASH_KEY: 'a key of sixteen characters',
  LOG_LEVEL: 'fatal',
  HEALTH_PORT: '0',
  CALLBACK_PORT: '0',
};

test.each([
  { command: 'run', args: ['run'] },
  { command: 'topics apply', args: ['topics', 'apply'] },
  { command: 'config apply', args: ['config', 'apply'] },
  { command: 'produce', args: ['produce', '--count', '1'] },
  { command: 'status', args: ['status'] },
  { command: 'trace', args: ['trace', '--tenant', 'acme', '--key', 'order-1'] },
])(
  'millrace $command ends within seconds, naming the address and what to do',
  async ({ args }) => {
    const { code, said, milliseconds } = await millrace(args, ENVIRONMENT);
    expect(code, said.join('\n')).toBe(1);
    expect(milliseconds).toBeLessThan(DEADLINE_MS);
    const text = said.join('\n');
    expect(text).toContain(NOWHERE);
    expect(text).toMatch(/npm run stack up/);
    expect(text).toMatch(/KAFKA_BROKERS/);
    expect(said.length).toBeLessThanOrEqual(2);
    expect(text).not.toMatch(/\n\s+at /);
  },
  60_000,
);

test('millrace doctor names it among its findings, and ends with 1', async () => {
  const { code, said, milliseconds } = await millrace(['doctor'], ENVIRONMENT);
  expect(code, said.join('\n')).toBe(1);
  expect(milliseconds).toBeLessThan(DEADLINE_MS);
  const text = said.join('\n');
  expect(text).toContain(NOWHERE);
  expect(text).toMatch(/KAFKA_BROKERS/);
  expect(text).not.toMatch(/\n\s+at /);
}, 60_000);
