import { expect, test } from 'vitest';
import { LANES } from '../../schemas/generated/records.js';
import { groupOfTopology } from '../../topologies/group-topics.js';
import { plan } from '../../topologies/plan.js';
import { groupOf } from '../../topologies/runtime/worker.js';
import { topicNames } from '../../topologies/topic-names.js';
import { topicTable } from '../../topologies/topic-table.js';
import type { Role } from './roles.js';
import { roles as stackRoles } from '../../infra/stack/kafka-security.mjs';
import { ROLES, aclLine, aclRules } from './roles.js';

const shape = { prefix: 'x.', channels: ['sms'], tenantsWithOwnIngest: [] };
const tasks = plan({ ...shape, lanes: LANES });
const rules = aclRules({
  prefix: 'x.',
  names: topicNames('x.'),
  table: topicTable(shape),
  plan: tasks,
});
const may = (role: Role, operation: string, topic: string): boolean =>
  rules.some(
    (rule) =>
      rule.role === role &&
      rule.resource === 'topic' &&
      rule.name === topic &&
      rule.operations.some((one) => one === operation),
  );

test('each role may do what its stages do', () => {
  expect(may('producer', 'Write', 'x.ingest.p0')).toBe(true);
  expect(may('producer', 'Read', 'x.feedback')).toBe(true);
  expect(may('intake', 'Read', 'x.ingest.p3')).toBe(true);
  expect(may('intake', 'Write', 'x.routed.sms.p1')).toBe(true);
  expect(may('intake', 'Read', 'x.internal.dedupe.p1')).toBe(true);
  expect(may('intake', 'Write', 'x.internal.dedupe.p1')).toBe(true);
  expect(may('send', 'Write', 'x.feedback')).toBe(true);
  expect(may('send', 'Read', 'x.internal.claims.p2')).toBe(true);
  expect(may('settle', 'Read', 'x.refused')).toBe(true);
  expect(may('settle', 'Write', 'x.receipts')).toBe(true);
  expect(may('settle', 'Write', 'x.accounts')).toBe(true);
  expect(may('settle', 'Read', 'x.accounts')).toBe(false);
  expect(may('reader', 'Read', 'x.accounts')).toBe(true);
  expect(may('again', 'Read', 'x.parked.p1')).toBe(true);
  expect(may('again', 'Write', 'x.again.budget-reserve.p1')).toBe(true);
  expect(may('again', 'Write', 'x.routed.sms.p1')).toBe(true);
  expect(may('operator', 'Write', 'x.again.send.p3')).toBe(true);
  expect(may('windows', 'Write', 'x.breaker.levels')).toBe(true);
  expect(may('operator', 'Write', 'x.config')).toBe(true);
});

test('and nothing more: what holds personal data is read only by those who deliver', () => {
  for (const role of ['producer', 'settle', 'windows'] as const)
    for (const topic of ['x.ingest.p0', 'x.deduped.p0', 'x.routed.sms.p0', 'x.parked.p0'])
      expect([role, topic, may(role, 'Read', topic)]).toEqual([role, topic, false]);
  expect(may('intake', 'Read', 'x.deduped.p0')).toBe(false);
  expect(may('intake', 'Write', 'x.feedback')).toBe(false);
  expect(may('again', 'Write', 'x.feedback')).toBe(false);
  expect(may('again', 'Read', 'x.ingest.p0')).toBe(false);
  expect(may('send', 'Write', 'x.ingest.p0')).toBe(false);
  expect(may('producer', 'Write', 'x.feedback')).toBe(false);
  expect(may('operator', 'Write', 'x.feedback')).toBe(false);
});

test('every task may use its own group and transactional id', () => {
  expect(tasks.map(({ topology }) => topology)).toContain('unknown');
  for (const { topology } of tasks)
    for (const resource of ['group', 'transactional-id'] as const) {
      const covered = rules.some(
        (rule) =>
          rule.role === groupOfTopology(topology) &&
          rule.resource === resource &&
          rule.prefixed &&
          groupOf('x.', topology).startsWith(rule.name),
      );
      expect([topology, resource, covered]).toEqual([topology, resource, true]);
    }
});

test('transactional ids and groups are bounded by the prefix', () => {
  for (const rule of rules.filter((one) => one.resource === 'transactional-id'))
    expect(rule.name.startsWith('x.millrace.')).toBe(true);
  // Only what a shadow run makes of its own: its topics' names are not known before.
  const prefixed = rules.filter((rule) => rule.resource === 'topic' && rule.prefixed);
  expect(prefixed.map(({ role, name }) => [role, name])).toEqual([['operator', 'x.shadow.']]);
});

test('the operator alone may alter the cluster: it writes abort markers', () => {
  const cluster = rules.filter((one) => one.resource === 'cluster');
  expect(cluster.map(({ role }) => role)).toEqual(['operator']);
  expect(cluster[0]?.operations).toContain('Alter');
});

test('the secured stack has a user for every role', () => {
  expect([...stackRoles].sort()).toEqual([...ROLES].sort());
});

test('a line is what kafka-acls.sh takes', () => {
  const rule = rules.find((one) => one.role === 'intake' && one.resource === 'group');
  if (rule === undefined) throw new Error('no group rule');
  expect(aclLine(rule, 'User:a')).toBe(
    `kafka-acls.sh --bootstrap-server "$KAFKA_BROKERS" \${KAFKA_COMMAND_CONFIG:+--command-config "$KAFKA_COMMAND_CONFIG"} --add --allow-principal User:a --operation Read --group '${rule.name}' --resource-pattern-type prefixed`,
  );
});
