import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { logFile, makeStackDirs, runDir } from './paths.mjs';
import { identityFromStat, identityOf, isAlive } from './process-identity.mjs';
import { stateOf } from './status.mjs';
import { lastLogLines, lastWords, recordOf, running, start, stop } from './supervision.mjs';
import { until } from './wait.mjs';

const name = `test-${process.pid}`;
const gently = { signal: 'SIGTERM', graceMs: 5_000 } as const;
const sleeper = { command: process.execPath, args: ['-e', 'setInterval(() => {}, 1000)'] };

afterEach(async () => {
  await stop(name, { signal: 'SIGKILL', graceMs: 5_000 });
  rmSync(logFile(name), { force: true });
});

describe('a process of the stack', () => {
  test('is started detached, recorded and stopped', async () => {
    const record = await start(name, sleeper, 29_000);
    expect(running(name)).toMatchObject({ pid: record.pid, portBase: 29_000 });
    expect(await stop(name, gently)).toBe('stopped');
    expect(identityOf(record.pid)).toBeNull();
    expect(recordOf(name)).toBeNull();
  });

  test('that ignores its signal is killed after its grace', async () => {
    const deaf =
      "process.on('SIGTERM', () => {}); console.log('deaf'); setInterval(() => {}, 1000)";
    await start(name, { command: process.execPath, args: ['-e', deaf] }, 29_000);
    await until(() => lastLogLines(name, 1).includes('deaf'), { deadlineMs: 10_000 });
    expect(await stop(name, { signal: 'SIGTERM', graceMs: 300 })).toBe('killed');
    expect(running(name)).toBeNull();
  });

  test('that dies has its last words shown, of this start only and without stack frames', async () => {
    const say = (text: string) => ({ command: 'printf', args: [text] });
    await start(name, say('words of an earlier start\\n'), 29_000);
    await until(() => running(name) === null, { deadlineMs: 10_000 });
    await start(name, say('the reason\\n\\tat x.Y(Z.java:1)\\n'), 29_000);
    await until(() => running(name) === null, { deadlineMs: 10_000 });
    expect(lastWords(name)).toEqual(['the reason']);
  });

  test('whose program is missing is an answer in words', async () => {
    const missing = { command: '/nowhere/program', args: [] };
    await expect(start(name, missing, 29_000)).rejects.toThrow('/nowhere/program');
  });
});

test('a stranger who has the recorded process id is never signalled', async () => {
  const stranger = spawn(sleeper.command, sleeper.args);
  await once(stranger, 'spawn');
  try {
    makeStackDirs();
    const stale = { name, pid: stranger.pid, identity: 'an earlier boot:1', portBase: 29_000 };
    writeFileSync(join(runDir, `${name}.json`), JSON.stringify(stale));
    expect(await stop(name, gently)).toBe('not running');
    expect(stranger.exitCode).toBeNull();
    expect(identityOf(stranger.pid ?? 0)).not.toBeNull();
  } finally {
    stranger.kill('SIGKILL');
  }
});

describe('identity of a process', () => {
  const rest = `${Array.from({ length: 18 }, (_, index) => index).join(' ')} 4711 0 0`;

  test('is its start, whatever its name looks like', () => {
    expect(identityFromStat(`12 (a) R (b) S ${rest}`, 'boot')).toBe('boot:4711');
  });

  test('is none for a zombie', () => {
    expect(identityFromStat(`12 (x) Z ${rest}`, 'boot')).toBeNull();
  });

  test('stays the same while it lives', () => {
    const identity = identityOf(process.pid) ?? '';
    expect(isAlive({ pid: process.pid, identity })).toBe(true);
  });
});

test.each([
  { external: true, alive: false, known: false, answers: false, state: 'replaced' },
  { external: false, alive: true, known: true, answers: true, state: 'up' },
  { external: false, alive: true, known: true, answers: false, state: 'not answering' },
  { external: false, alive: false, known: true, answers: false, state: 'died' },
  { external: false, alive: false, known: false, answers: false, state: 'down' },
])('status says $state', ({ state, ...seen }) => {
  expect(stateOf(seen)).toBe(state);
});
