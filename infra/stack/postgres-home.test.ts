import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { canEnter } from './postgres-home.mjs';

const stranger = { uid: 54_321, gid: 54_321 };

test('a checkout under a private directory is out of reach of the database user', () => {
  const dir = mkdtempSync('/var/tmp/millrace-reach-');
  const inside = join(dir, 'inside');
  mkdirSync(inside, { mode: 0o755 });
  try {
    chmodSync(dir, 0o755);
    expect(canEnter(inside, stranger)).toBe(true);
    chmodSync(dir, 0o700);
    expect(canEnter(inside, stranger)).toBe(false);
    expect(canEnter(inside, { uid: process.getuid?.() ?? 0, gid: 0 })).toBe(true);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
