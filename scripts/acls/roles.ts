import type { TaskDescription } from '../../topologies/describe.js';
import { groupOfTopology, groupTopics } from '../../topologies/group-topics.js';
import { WORKER_GROUPS, type WorkerGroup } from '../../topologies/main.js';
import { groupOf } from '../../topologies/runtime/worker.js';
import { AGAIN_STAGES, type TopicNames } from '../../topologies/topic-names.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import { LANES } from '../../schemas/generated/records.js';

export const ROLES = ['producer', 'reader', ...WORKER_GROUPS, 'operator'] as const;
export type Role = (typeof ROLES)[number];

/** One rule as kafka-acls.sh takes it. */
export interface AclRule {
  readonly role: Role;
  readonly resource: 'topic' | 'group' | 'transactional-id' | 'cluster';
  readonly name: string;
  /** Names that begin so. */
  readonly prefixed: boolean;
  readonly operations: readonly (
    | 'Read'
    | 'Write'
    | 'Describe'
    | 'DescribeConfigs'
    | 'Create'
    | 'Alter'
    | 'AlterConfigs'
    | 'Delete'
  )[];
}

export interface AclOptions {
  readonly prefix: string;
  readonly names: TopicNames;
  readonly table: readonly TopicSpec[];
  /** As wired: rules follow the wiring, so that none is wider than what a role does. */
  readonly plan: readonly TaskDescription[];
}

/** Least privilege for each role: what the wiring reads and writes, and nothing else. */
export const aclRules = (options: AclOptions): readonly AclRule[] => [
  ...producerRules(options),
  ...readerRules(options),
  ...WORKER_GROUPS.flatMap((role) => workerRules(role, options)),
  ...operatorRules(options),
];

const topic = (role: Role, name: string, operations: AclRule['operations']): AclRule => ({
  role,
  resource: 'topic',
  name,
  prefixed: false,
  operations,
});

const producerRules = ({ prefix, names }: AclOptions): AclRule[] => [
  // Idempotent writing needs nothing beyond Write (KIP-679).
  ...LANES.map((lane) => topic('producer', names.ingest(lane), ['Write', 'Describe'])),
  topic('producer', names.feedback, ['Read', 'Describe']),
  topic('producer', names.refused, ['Read', 'Describe']),
  {
    role: 'producer',
    resource: 'group',
    name: `${prefix}results.`,
    prefixed: true,
    operations: ['Read'],
  },
];

/** Our own tools read by assignment under this name; they join no group, but ask for its coordinator. */
const readings = (role: Role): AclRule => ({
  role,
  resource: 'group',
  name: 'millrace-read-',
  prefixed: true,
  operations: ['Read'],
});

/** Analysts and dashboards: results, none of which holds personal data. Groups apart from the producers'. */
const readerRules = ({ prefix, names }: AclOptions): AclRule[] => [
  ...[names.feedback, names.refused, names.windows, names.breakerLevels, names.accounts].map(
    (name) => topic('reader', name, ['Read', 'Describe']),
  ),
  {
    role: 'reader',
    resource: 'group',
    name: `${prefix}readers.`,
    prefixed: true,
    operations: ['Read'],
  },
  readings('reader'),
];

const workerRules = (role: WorkerGroup, { prefix, names, plan }: AclOptions): AclRule[] => {
  const { reads, writes } = groupTopics(role, names, plan);
  const topics = [...new Set([...reads, ...writes])].sort();
  const prefixedBy = (task: string): Pick<AclRule, 'name' | 'prefixed'> => ({
    name: groupOf(prefix, task),
    prefixed: true,
  });
  // intake.p0 and intake.p1 have one rule: ids begin with the topology's first name.
  const topologies = [
    ...new Set(
      plan
        .filter(({ topology }) => groupOfTopology(topology) === role)
        .map(({ topology }) => topology.split('.')[0] ?? topology),
    ),
  ];
  const tasksNamed =
    role === 'settle'
      ? ['settle', 'receipts', 'unknown']
      : role === 'windows'
        ? ['windows', 'influx']
        : [role];
  return [
    ...topics.map((name) =>
      topic(role, name, [
        ...(reads.has(name) ? (['Read'] as const) : []),
        // Its max.message.bytes: what is larger becomes a dead letter.
        ...(writes.has(name) ? (['Write', 'DescribeConfigs'] as const) : []),
        'Describe',
      ]),
    ),
    ...[...tasksNamed, 'restore', 'tables'].map((task): AclRule => ({
      role,
      resource: 'group',
      ...prefixedBy(task),
      operations: ['Read'],
    })),
    ...topologies.map((task): AclRule => ({
      role,
      resource: 'transactional-id',
      ...prefixedBy(task),
      operations: ['Write', 'Describe'],
    })),
  ];
};

const operatorRules = ({ prefix, table, names }: AclOptions): AclRule[] => {
  const written = new Set([
    names.config,
    names.breakerCommands,
    // rebuild windows.
    names.windows,
    // doctor compares clocks by it.
    names.internal.clock,
    // Replay and redrive put records back through again.*, each run under a transactional id of its own.
    ...AGAIN_STAGES.flatMap((stage) => LANES.map((lane) => names.again(stage, lane))),
    ...table.filter((spec) => spec.record === 'MessageRequest').map((spec) => spec.name),
  ]);
  return [
    {
      role: 'operator',
      resource: 'cluster',
      name: 'kafka-cluster',
      prefixed: false,
      // Alter: `transactions abort --at` writes markers (KAFKA-16513). Kafka has no narrower right for it, and this one
      // extends to access rules and reassignments: see docs/operators/security.md.
      operations: ['Create', 'Describe', 'DescribeConfigs', 'Alter'],
    },
    ...table
      .map((spec) => spec.name)
      .sort()
      .map((name) =>
        topic('operator', name, [
          'Read',
          ...(written.has(name) ? (['Write'] as const) : []),
          'Describe',
          'DescribeConfigs',
          'AlterConfigs',
        ]),
      ),
    {
      role: 'operator',
      resource: 'group',
      name: groupOf(prefix, ''),
      prefixed: true,
      operations: ['Read', 'Describe'],
    },
    // `transactions` sees the ids of our workers, and `transactions abort --id` shuts their producers out.
    {
      role: 'operator',
      resource: 'transactional-id',
      name: groupOf(prefix, ''),
      prefixed: true,
      operations: ['Write', 'Describe'],
    },
    // A shadow run writes what it decides to topics of its own, and forgets them.
    {
      role: 'operator',
      resource: 'topic',
      name: `${prefix}shadow.`,
      prefixed: true,
      operations: ['Read', 'Write', 'Describe', 'Delete'],
    },
    readings('operator'),
  ];
};

/** A line of kafka-acls.sh; KAFKA_COMMAND_CONFIG names its client properties, where the cluster wants credentials. */
export const aclLine = (rule: AclRule, principal: string): string =>
  [
    'kafka-acls.sh --bootstrap-server "$KAFKA_BROKERS" ${KAFKA_COMMAND_CONFIG:+--command-config "$KAFKA_COMMAND_CONFIG"} --add',
    `--allow-principal ${principal}`,
    ...rule.operations.map((operation) => `--operation ${operation}`),
    rule.resource === 'cluster' ? '--cluster' : `--${rule.resource} '${rule.name}'`,
    ...(rule.prefixed ? ['--resource-pattern-type prefixed'] : []),
  ].join(' ');
