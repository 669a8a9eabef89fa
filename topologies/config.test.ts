import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ENVIRONMENT_GROUPS, readEnvironment } from './config.js';

const folder = mkdtempSync(path.join(tmpdir(), 'millrace-config-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const complete = {
  KAFKA_BROKERS: 'a:9092, b:9092',
  SCHEMA_REGISTRY_URL: 'http://registry:8081/apis',
  DATABASE_URL: 'postgres://user:secret@db:5432/millrace',
  REDIS_URL: 'redis://redis:6379',
  INFLUX_URL: 'http://influx:8086',
  INFLUX_BUCKET: 'millrace/autogen',
  RECIPIENT_HASH_KEY: '0123456789abcdef',
};

const messageOf = (run: () => unknown): string => {
  try {
    run();
  } catch (thrown) {
    return (thrown as Error).message;
  }
  throw new Error('it did not throw');
};

describe('the environment', () => {
  test('gets defaults for what need not be set', () => {
    expect(readEnvironment(complete, ENVIRONMENT_GROUPS)).toMatchObject({
      kafka: {
        brokers: ['a:9092', 'b:9092'],
        prefix: '',
        groupProtocol: 'classic',
        securityProtocol: 'plaintext',
        sasl: undefined,
      },
      worker: { callbackPort: 8090, healthPort: 8091, logLevel: 'info', slot: 0 },
      influx: { org: '', token: '' },
      postgres: { schema: 'millrace' },
    });
  });

  test('names every error at once, and quotes no secret', () => {
    const message = messageOf(() =>
      readEnvironment(
        {
          KAFKA_BROKERS: 'localhost',
          KAFKA_SECURITY_PROTOCOL: 'SASL_SSL',
          DATABASE_URL: 'mysql://user:hunter2@db/x',
          RECIPIENT_HASH_KEY: 'hunter2',
          SLOT: '-1',
          LOG_LEVEL: 'loud',
        },
        ENVIRONMENT_GROUPS,
      ),
    );
    for (const name of [
      'KAFKA_BROKERS must be host:port',
      'SCHEMA_REGISTRY_URL is not set',
      'DATABASE_URL must be a URL',
      'REDIS_URL is not set',
      'INFLUX_URL is not set',
      'INFLUX_BUCKET is not set',
      'RECIPIENT_HASH_KEY must have at least 16',
      'SLOT',
      'LOG_LEVEL',
    ])
      expect(message).toContain(name);
    expect(message).not.toContain('hunter2');
  });

  test('asks for SASL credentials only where SASL is on', () => {
    const message = messageOf(() =>
      readEnvironment({ ...complete, KAFKA_SECURITY_PROTOCOL: 'sasl_ssl' }, ['kafka']),
    );
    expect(message).toContain('KAFKA_SASL_MECHANISM is needed');
    expect(message).toContain('KAFKA_SASL_USERNAME is needed');
    expect(message).toContain('KAFKA_SASL_PASSWORD is needed');
  });

  test('takes any variable from a file, and refuses both at once', () => {
    const file = path.join(folder, 'key');
    writeFileSync(file, 'fedcba9876543210\n');
    const rest = { ...complete, RECIPIENT_HASH_KEY: undefined };
    expect(
      readEnvironment({ ...rest, RECIPIENT_HASH_KEY_FILE: file }, ['worker']).worker
        .recipientHashKey,
    ).toBe('fedcba9876543210');
    expect(
      messageOf(() => readEnvironment({ ...complete, RECIPIENT_HASH_KEY_FILE: file }, ['worker'])),
    ).toContain('both set');
    expect(
      messageOf(() =>
        readEnvironment({ ...rest, RECIPIENT_HASH_KEY_FILE: `${file}.absent` }, ['worker']),
      ),
    ).toContain('cannot read the file');
  });

  test('an empty variable is an unset one', () => {
    expect(readEnvironment({ ...complete, SLOT: '' }, ['worker']).worker.slot).toBe(0);
  });

  test('a command is asked only for what it uses', () => {
    expect(readEnvironment({ KAFKA_BROKERS: 'a:1' }, ['kafka']).kafka.brokers).toEqual(['a:1']);
  });
});
