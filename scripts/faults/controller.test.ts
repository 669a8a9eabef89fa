import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { activeController } from './controller.js';

describe('the active controller', () => {
  let root = '';
  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'quorum-'));
  });
  afterEach(() => {
    rmSync(root, { recursive: true });
  });

  const node = (id: number, state?: { leaderId: number; leaderEpoch: number }): string => {
    const folder = path.join(root, String(id));
    mkdirSync(path.join(folder, '__cluster_metadata-0'), { recursive: true });
    if (state !== undefined)
      writeFileSync(
        path.join(folder, '__cluster_metadata-0', 'quorum-state'),
        JSON.stringify({ clusterId: '', ...state, data_version: 0 }),
      );
    return folder;
  };

  it('is the leader of the newest election that a node wrote down, whatever a dead node last wrote', () => {
    expect(
      activeController([
        node(1, { leaderId: 1, leaderEpoch: 4 }),
        node(2, { leaderId: 3, leaderEpoch: 11 }),
        node(3),
      ]),
    ).toBe(3);
  });

  it('is nobody while an election is under way, and before the first', () => {
    expect(activeController([node(1, { leaderId: -1, leaderEpoch: 5 })])).toBeNull();
    expect(activeController([node(2)])).toBeNull();
  });
});
