import { expect, test } from 'vitest';
import { LANES } from '../schemas/generated/records.js';
import { topicTable } from './topic-table.js';

const table = topicTable({
  prefix: 'x.',
  channels: ['sms', 'webhook'],
  tenantsWithOwnIngest: ['acme'],
});
const names = table.map((topic) => topic.name);
const named = (name: string) => {
  const found = table.find((topic) => topic.name === name);
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
};

test('every topic is named once and carries the prefix', () => {
  expect(new Set(names).size).toBe(names.length);
  expect(names.every((name) => name.startsWith('x.'))).toBe(true);
});

test('a channel and a tenant with its own ingest have a topic per lane', () => {
  for (const lane of LANES)
    expect(names).toEqual(
      expect.arrayContaining([
        `x.routed.sms.${lane}`,
        `x.routed.webhook.${lane}`,
        `x.ingest.acme.${lane}`,
      ]),
    );
});

test.each([
  ['x.ingest.p0', '604800000', '524288', 'BACKWARD_TRANSITIVE'],
  ['x.ingest.acme.p3', '604800000', '524288', 'BACKWARD_TRANSITIVE'],
  ['x.deduped.p1', '259200000', '1048576', 'FULL_TRANSITIVE'],
  ['x.parked.p2', '3024000000', '1048576', 'FULL_TRANSITIVE'],
  ['x.feedback', '1209600000', '1048576', 'FULL_TRANSITIVE'],
  ['x.dead-letters', '2592000000', '1048576', null],
  ['x.internal.windows.partials', '86400000', '2097152', null],
  // The dedupe span of 24 h, the rest of the hour, and a segment.
  ['x.internal.dedupe.p0', '93600000', '1048576', null],
])(
  '%s is kept %s ms, takes %s bytes, compatibility %s',
  (name, retention, bytes, compatibility) => {
    expect(named(name).config).toMatchObject({
      'cleanup.policy': 'delete',
      'retention.ms': retention,
      'max.message.bytes': bytes,
    });
    expect(named(name).compatibility).toBe(compatibility);
  },
);

test.each([
  'x.config',
  'x.accounts',
  'x.breaker.levels',
  'x.internal.claims.p0',
  'x.internal.unknown',
])('%s is a table: compacted, without a retention', (name) => {
  expect(named(name).config).toMatchObject({ 'cleanup.policy': 'compact' });
  expect(named(name).config).not.toHaveProperty('retention.ms');
});

test('a changelog has as many partitions as its source topic', () => {
  expect(new Set(table.map((topic) => topic.partitions))).toEqual(new Set([4]));
});

test('one copy may be away with three, none with one', () => {
  expect(named('x.feedback').config['min.insync.replicas']).toBe('1');
  const replicated = topicTable({
    prefix: '',
    channels: [],
    tenantsWithOwnIngest: [],
    replicationFactor: 3,
  });
  expect(replicated.every((topic) => topic.config['min.insync.replicas'] === '2')).toBe(true);
});
