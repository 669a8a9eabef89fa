import { expect, test } from 'vitest';
import { localTime } from './local-time.js';

test.each([
  ['2026-05-20T16:00:00Z', 'UTC', 16, 3, '2026-05-20'],
  ['2026-05-20T16:00:00Z', 'Asia/Shanghai', 0, 4, '2026-05-21'],
  ['2026-05-24T15:59:59Z', 'Asia/Shanghai', 23, 7, '2026-05-24'],
  // Clocks go from 2 to 3, and from 3 back to 2.
  ['2026-03-29T00:59:59Z', 'Europe/Berlin', 1, 7, '2026-03-29'],
  ['2026-03-29T01:00:00Z', 'Europe/Berlin', 3, 7, '2026-03-29'],
  ['2026-10-25T00:30:00Z', 'Europe/Berlin', 2, 7, '2026-10-25'],
  ['2026-10-25T01:30:00Z', 'Europe/Berlin', 2, 7, '2026-10-25'],
])('%s is in %s hour %i of weekday %i, %s', (at, zone, hour, weekday, day) => {
  expect(localTime(Date.parse(at), zone)).toEqual({ hour, weekday, day });
});
