import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { root } from '../../infra/stack/paths.mjs';
import { interruptCode, runChild } from './run-child.mjs';

const program = (script: string) => ['-e', script] as string[];
const how = (signal: AbortSignal) => ({ cwd: root, env: process.env, signal });
const never = new AbortController().signal;

describe('a program handed over to', () => {
  test('gives its exit code on', async () => {
    const { code } = await runChild(process.execPath, program('process.exit(7)'), how(never));
    expect(code).toBe(7);
  });

  test('is told of an interrupt once, and may end in its own time', async () => {
    const script = `
      let count = 0;
      process.on('SIGINT', () => { count += 1; setTimeout(() => process.exit(40 + count), 200); });
      console.log('ready'); setInterval(() => {}, 1000);`;
    const controller = new AbortController();
    const { code } = await runChild(process.execPath, program(script), {
      ...how(controller.signal),
      onOutput: {
        stdout: () => {
          controller.abort('SIGINT');
        },
      },
    });
    expect(code).toBe(41);
    expect(interruptCode(controller.signal)).toBe(130);
  });

  test('is ended at its deadline', async () => {
    const options = { ...how(never), deadlineMs: 200 };
    const answer = await runChild(
      process.execPath,
      program('setInterval(() => {}, 1000)'),
      options,
    );
    expect(answer.late).toBe(true);
  });
});

describe('on the command line', () => {
  const run = (file: string, ...args: string[]) =>
    spawnSync(process.execPath, [fileURLToPath(new URL(file, import.meta.url)), ...args], {
      encoding: 'utf8',
      cwd: '/',
      timeout: 20_000,
    });

  test.each(['demo.mjs', 'bench.mjs', 'stack.mjs', 'test.mjs', 'setup.mjs'])(
    '%s --help answers and starts nothing',
    (file) => {
      const { status, stdout, stderr } = run(file, '--help');
      expect(status).toBe(0);
      expect(stdout).toContain('npm ');
      expect(stderr).toBe('');
    },
  );

  test('a command that stack does not have is refused in words', () => {
    const { status, stderr } = run('stack.mjs', 'sideways');
    expect(status).toBe(1);
    expect(stderr).toContain('stack has no command "sideways"');
    expect(stderr).not.toMatch(/^\s+at /m);
  });
});
