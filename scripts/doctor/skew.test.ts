import { expect, test } from 'vitest';
import { skewFinding } from './skew.js';

test.each([
  { it: 'within the time the question took', theirs: 1_050, state: 'good' },
  { it: 'a little ahead', theirs: 1_600, state: 'good' },
  { it: 'seconds behind', theirs: -3_000, state: 'note' },
  { it: 'half a minute ahead', theirs: 31_100, state: 'bad' },
])('a clock $it is $state', ({ theirs, state }) => {
  expect(skewFinding('it', theirs, 1_000, 1_100).state).toBe(state);
});
