import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { type AvroField, type AvroNode, type AvroSchema, readAvscFiles } from './avsc-files.js';
import { DELIVERY_STATES, FAILURE_CLASSS, LANES, REFUSAL_REASONS } from './generated/records.js';
import { RECORD_NAMES } from './record-types.js';
import { projectRoot } from './root.js';

const files = readAvscFiles();

/** Every node below a schema, itself included. */
const nodesIn = (schema: AvroSchema): readonly AvroNode[] => {
  if (typeof schema === 'string') return [];
  if ('length' in schema) return schema.flatMap(nodesIn);
  const below = [schema.items, schema.values, ...(schema.fields ?? []).map((field) => field.type)];
  const inner = typeof schema.type === 'object' ? [schema.type] : [];
  return [schema, ...[...below, ...inner].filter((one) => one !== undefined).flatMap(nodesIn)];
};
const nodes = [...files.values()].flatMap(nodesIn);
const fields: readonly (readonly [string, AvroField])[] = nodes.flatMap((node) =>
  (node.fields ?? []).map((field) => [`${node.name ?? ''}.${field.name}`, field] as const),
);
const isTime = ({ type }: AvroField): boolean =>
  nodesIn(type).some((node) => node.logicalType === 'timestamp-millis');

describe('the schemas', () => {
  test.each(fields)('%s has a doc', (_name, field) => {
    expect(field.doc ?? '').not.toBe('');
  });

  test('every named type has a doc', () => {
    expect(nodes.filter((node) => node.name !== undefined && !node.doc)).toEqual([]);
  });

  test('money says its unit', () => {
    const money = fields.filter(([, { type }]) =>
      nodesIn(type).some((node) => node.logicalType === 'micros'),
    );
    expect(money.length).toBeGreaterThan(4);
    expect(money.filter(([, { doc }]) => !/micros/i.test(doc ?? '')).map(([name]) => name)).toEqual(
      [],
    );
  });

  test('every enum has a default symbol, so that an older reader survives a new one', () => {
    const enums = nodes.filter((node) => node.type === 'enum');
    expect(enums.length).toBeGreaterThan(5);
    for (const { symbols, default: fallback } of enums) expect(symbols).toContain(fallback);
  });

  test('every optional field is ["null", X] with default null', () => {
    const unions = fields.filter(([, { type }]) => typeof type === 'object' && 'length' in type);
    expect(unions.length).toBeGreaterThan(20);
    for (const [, field] of unions) {
      expect(field.type).toMatchObject(['null', expect.anything()]);
      expect(field.default).toBeNull();
    }
  });

  test('times are timestamp-millis', () => {
    const times = fields.filter(([name]) => /(At|Before)$/.test(name));
    expect(times.filter(([, field]) => !isTime(field)).map(([name]) => name)).toEqual([]);
  });

  test('what outsiders write holds no enum: a new symbol of theirs would be unreadable', () => {
    const written = ['MessageRequest', 'Recipient'].flatMap((name) => {
      const node = files.get(name);
      return node === undefined ? [] : nodesIn(node);
    });
    expect(written.length).toBeGreaterThan(1);
    expect(written.filter((node) => node.type === 'enum')).toEqual([]);
  });

  test('feedback and refused have no place for a recipient or params', () => {
    const names = ['DeliveryFeedback', 'MessageRefused'].flatMap((name) =>
      (files.get(name)?.fields ?? []).map((field) => field.name),
    );
    for (const secret of ['recipient', 'params', 'phone', 'email', 'openId', 'userId'])
      expect(names).not.toContain(secret);
  });

  test('every record with a topic of its own exists', () => {
    expect(RECORD_NAMES.filter((name) => files.get(name)?.type !== 'record')).toEqual([]);
  });
});

describe('the closed lists of the public contract', () => {
  test('refusal reasons', () => {
    expect([...REFUSAL_REASONS].sort()).toEqual(
      [
        'duplicate idempotency_conflict invalid too_large unknown_tenant tenant_mismatch unknown_template',
        'no_address no_channel lane_not_allowed expired budget_cash budget_pv quota account_closed currency',
        'policy suppressed frequency_cap breaker cancelled internal',
      ]
        .join(' ')
        .split(' ')
        .sort(),
    );
  });

  test('lanes, states and classes', () => {
    expect([...LANES]).toEqual(['p0', 'p1', 'p2', 'p3']);
    expect([...DELIVERY_STATES].sort()).toEqual([
      'accepted',
      'delivered',
      'failed',
      'held',
      'unknown',
    ]);
    expect([...FAILURE_CLASSS].sort()).toEqual(
      'account content expired provider recipient throttled timeout unknown'.split(' '),
    );
  });

  test('every refusal reason is explained to producers', () => {
    const guide = readFileSync(path.join(projectRoot(), 'docs', 'producers.md'), 'utf8');
    const refused = guide.slice(guide.indexOf('### `refused`'));
    const explained = [...refused.matchAll(/^\| `(\w+)`\s*\| (?:yes|no) /gm)].map(
      ([, reason]) => reason,
    );
    expect(explained.sort()).toEqual([...REFUSAL_REASONS].sort());
  });
});
