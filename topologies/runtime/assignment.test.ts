import { expect, test } from 'vitest';
import { Assignment } from './assignment.js';
import { partitionId } from './raw-record.js';

const p0 = { topic: 'words', partition: 0 };
const p1 = { topic: 'words', partition: 1 };
const id = partitionId(p0);

test('rule 4: a partition that comes back has another epoch, so that old work never fits it again', () => {
  const assignment = new Assignment();
  assignment.add([{ ...p0, offset: 5 }]);
  const first = assignment.epoch(id);
  assignment.remove([p0]);
  expect(assignment.epoch(id)).toBeUndefined();
  assignment.add([{ ...p0, offset: 9 }]);
  expect(assignment.epoch(id)).toBeDefined();
  expect(assignment.epoch(id)).not.toBe(first);
});

test('rule 2: the position is where reading began until a commit moves it', () => {
  const assignment = new Assignment();
  assignment.add([
    { ...p0, offset: 5 },
    { ...p1, offset: 0 },
  ]);
  assignment.moved([{ ...p0, offset: 8 }]);
  expect(assignment.positions).toEqual([
    { ...p0, offset: 8 },
    { ...p1, offset: 0 },
  ]);
  assignment.moved([{ topic: 'words', partition: 7, offset: 1 }]);
  expect(assignment.partitions).toHaveLength(2);
});

test('rule 16: a deferred partition is due once, when its time has come', () => {
  const assignment = new Assignment();
  assignment.add([
    { ...p0, offset: 0 },
    { ...p1, offset: 0 },
  ]);
  assignment.defer(id, 1_000);
  expect(assignment.deferred).toMatchObject([p0]);
  expect(assignment.due(999)).toEqual([]);
  expect(assignment.due(1_000)).toMatchObject([p0]);
  expect(assignment.deferred).toEqual([]);
  expect(assignment.due(2_000)).toEqual([]);
});
