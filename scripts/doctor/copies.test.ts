import { expect, test } from 'vitest';
import { copyFindings } from './copies.js';
import type { Copies } from './copies.js';

const partition = (change: Partial<Copies>): Copies => ({
  topic: 'feedback',
  partition: 0,
  leader: 1,
  replicas: [1, 2, 3],
  inSync: [1, 2, 3],
  ...change,
});

test.each([
  { it: 'all copies', copies: {}, state: 'good', says: 'all their copies' },
  { it: 'one broker away', copies: { inSync: [1, 3] }, state: 'note', says: 'broker 2 is away' },
  { it: 'two away', copies: { inSync: [3] }, state: 'bad', says: 'too few copies' },
  { it: 'no leader', copies: { leader: -1, inSync: [2] }, state: 'bad', says: 'broker 1, 3' },
  { it: 'one copy, there', copies: { replicas: [1], inSync: [1] }, state: 'good', says: '1 part' },
])('a partition with $it is $state', ({ copies, state, says }) => {
  const findings = copyFindings([partition(copies)]);
  expect(findings).toHaveLength(1);
  expect(findings[0]?.state).toBe(state);
  expect(findings[0]?.what).toContain(says);
});
