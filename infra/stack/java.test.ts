import { expect, test } from 'vitest';
import { javaVersion, majorOf } from './java.mjs';

test.each([
  ['17.0.15', 17],
  ['21', 21],
  ['1.8.0_402', 8],
  ['', null],
])('Java version "%s" is %s', (version, major) => {
  expect(majorOf(version)).toBe(major);
});

test('a JAVA_HOME without a compiler is no JDK', () => {
  expect(javaVersion({ JAVA_HOME: '/nowhere' })).toBeNull();
});
