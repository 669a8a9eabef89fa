import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CommanderError } from 'commander';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PipelineError } from '../../schemas/error.js';
import { toJson } from './cli.js';
import { UsageError, Unsuccessful, explain } from './exit.js';
import { integer, pointInTime } from './options.js';
import { surroundings } from './stack-env.js';

describe('connections', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'millrace-cli-'));
    mkdirSync(path.join(root, '.stack'));
    writeFileSync(
      path.join(root, '.stack', 'env'),
      `export KAFKA_BROKERS=stack:1\nexport DATABASE_URL='postgres://stack/x'\nexport REDIS_URL=redis://stack\n`,
    );
  });
  afterEach(() => {
    rmSync(root, { recursive: true });
  });

  test("come from the local stack where nobody set Kafka's, and what is set by hand wins", () => {
    const found = surroundings({ REDIS_URL: 'redis://mine', DATABASE_URL_FILE: '/secret' }, root);
    expect(found.variables).toMatchObject({ KAFKA_BROKERS: 'stack:1', REDIS_URL: 'redis://mine' });
    expect(found.variables['DATABASE_URL']).toBeUndefined();
    expect(found.fromStack).toEqual(['KAFKA_BROKERS']);
  });

  test("never come from the local stack where Kafka's are set: half an installation would be mixed with another", () => {
    const found = surroundings({ KAFKA_BROKERS: 'mine:1' }, root);
    expect(found.variables).toEqual({ KAFKA_BROKERS: 'mine:1' });
  });
});

describe('exit codes', () => {
  const said: string[] = [];
  const code = (thrown: unknown) => explain(thrown, (line) => said.push(line), false);
  beforeEach(() => {
    said.length = 0;
  });

  test('1 for a failure, with what to do about it', () => {
    expect(code(new PipelineError('kafka_unavailable', 'Kafka does not answer at a:1.'))).toBe(1);
    expect(said.join('\n')).toContain('a:1');
    expect(said.join('\n')).toContain('npm run stack up');
    expect(said).toHaveLength(2);
  });

  test('1 without more words for a check that found something', () => {
    expect(code(new Unsuccessful())).toBe(1);
    expect(said).toEqual([]);
  });

  test('2 for a wrong command line, 0 for --help', () => {
    expect(code(new UsageError('give a file'))).toBe(2);
    expect(code(new CommanderError(1, 'commander.unknownOption', ''))).toBe(2);
    expect(code(new CommanderError(0, 'commander.helpDisplayed', ''))).toBe(0);
  });
});

test('JSON has numbers where they are exact, and text where they are not', () => {
  expect(toJson({ small: 5n, large: 2n ** 60n })).toBe('{"small":5,"large":"1152921504606846976"}');
});

test('option values are read strictly', () => {
  expect(integer(1, 5)('3')).toBe(3);
  for (const wrong of ['0', '6', '1.5', '1e1', 'x', ''])
    expect(() => integer(1, 5)(wrong)).toThrow('from 1 to 5');
  expect(pointInTime('2026-01-31T08:00Z')).toBe(Date.UTC(2026, 0, 31, 8));
  expect(Date.now() - pointInTime('2h')).toBeGreaterThanOrEqual(7_200_000);
  expect(() => pointInTime('soon')).toThrow('a duration');
});
