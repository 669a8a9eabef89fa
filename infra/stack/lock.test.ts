import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { withLock } from './lock.mjs';
import { identityOf } from './process-identity.mjs';

describe('a lock', () => {
  let dir = '';
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'millrace-lock-'));
  });
  afterEach(() => {
    rmSync(dir, { recursive: true, force: true });
  });
  const options = () => ({ deadlineMs: 5_000, dir });

  test('lets one in at a time', async () => {
    let inside = 0;
    const visit = () =>
      withLock('x', options(), async () => {
        inside += 1;
        expect(inside).toBe(1);
        await new Promise((resolve) => setImmediate(resolve));
        inside -= 1;
      });
    await Promise.all([visit(), visit(), visit()]);
  });

  test('is taken over when its holder is gone', async () => {
    writeFileSync(join(dir, 'x.lock'), JSON.stringify({ pid: 1, identity: 'an earlier boot:1' }));
    await expect(withLock('x', options(), () => Promise.resolve('in'))).resolves.toBe('in');
  });

  test('is given back when the work fails', async () => {
    const failing = withLock('x', options(), () => Promise.reject(new Error('work')));
    await expect(failing).rejects.toThrow('work');
    await expect(withLock('x', options(), () => Promise.resolve('in'))).resolves.toBe('in');
  });

  test('names its holder instead of waiting for ever', async () => {
    const holder = { pid: process.ppid, identity: identityOf(process.ppid) };
    writeFileSync(join(dir, 'x.lock'), JSON.stringify(holder));
    const waiting = withLock('x', { deadlineMs: 200, dir }, () => Promise.resolve());
    await expect(waiting).rejects.toThrow(`process ${process.ppid}`);
  });
});
