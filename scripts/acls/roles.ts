import type { TaskDescription } from '../../topologies/describe.js';
import { groupOf } from '../../topologies/runtime/worker.js';
import type { TopicNames } from '../../topologies/topic-names.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import { LANES } from '../../schemas/generated/records.js';

export const ROLES = ['producer', 'intake', 'send', 'settle', 'windows', 'operator'] as const;
export type Role = (typeof ROLES)[number];

/** One rule as kafka-acls.sh takes it. */
export interface AclRule {
  readonly role: Role;
  readonly resource: 'topic' | 'group' | 'transactional-id' | 'cluster';
  readonly name: string;
  /** Names that begin so. */
  readonly prefixed: boolean;
  readonly operations: readonly (
    'Read' | 'Write' | 'Describe' | 'DescribeConfigs' | 'Create' | 'AlterConfigs'
  )[];
}

export interface AclOptions {
  readonly prefix: string;
  readonly names: TopicNames;
  readonly table: readonly TopicSpec[];
  /** As wired: rules follow the wiring, so that none is wider than what a role does. */
  readonly plan: readonly TaskDescription[];
}

/** Which worker group runs a topology. */
const roleOf = (topology: string): Role => {
  const first = topology.split('.')[0] ?? '';
  return first === 'intake' || first === 'send' || first === 'windows' ? first : 'settle';
};

/** Least privilege for each role: what the wiring reads and writes, and nothing else. */
export const aclRules = (options: AclOptions): readonly AclRule[] => [
  ...producerRules(options),
  ...(['intake', 'send', 'settle', 'windows'] as const).flatMap((role) =>
    workerRules(role, options),
  ),
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

/** Sinks are no stages: what they read is not in the plan. */
const sinkReads = (role: Role, names: TopicNames): readonly string[] => {
  switch (role) {
    case 'settle':
      return [names.feedback, names.refused];
    case 'windows':
      return [names.windows, names.breakerLevels];
    case 'producer':
    case 'intake':
    case 'send':
    case 'operator':
      return [];
  }
};

const workerRules = (role: Role, { prefix, names, plan }: AclOptions): AclRule[] => {
  const tasks = plan.filter(({ topology }) => roleOf(topology) === role);
  const stages = tasks.flatMap((task) => task.stages);
  const reads = new Set([
    ...stages.flatMap((stage) => [...stage.reads, ...stage.state, ...stage.tables]),
    ...sinkReads(role, names),
    // Every worker looks up channels and lanes first.
    names.config,
  ]);
  const writes = new Set([
    ...stages.flatMap((stage) => [...stage.writes, ...stage.state]),
    names.deadLetters,
    // The callback endpoint writes what carriers push.
    ...(role === 'settle' ? [names.receipts] : []),
  ]);
  // Chained stages hand records over in memory; reading those topics back is not needed.
  for (const { stages: chained } of tasks)
    for (const [index, stage] of chained.entries())
      if (index > 0) for (const name of stage.reads) reads.delete(name);
  const topics = [...new Set([...reads, ...writes])].sort();
  const prefixedBy = (task: string): Pick<AclRule, 'name' | 'prefixed'> => ({
    name: groupOf(prefix, task),
    prefixed: true,
  });
  const tasksNamed =
    role === 'settle'
      ? ['settle', 'receipts', 'attempts']
      : role === 'windows'
        ? ['windows', 'influx']
        : [role];
  return [
    ...topics.map((name) =>
      topic(role, name, [
        ...(reads.has(name) ? (['Read'] as const) : []),
        ...(writes.has(name) ? (['Write'] as const) : []),
        'Describe',
      ]),
    ),
    ...[...tasksNamed, 'restore', 'tables'].map((task): AclRule => ({
      role,
      resource: 'group',
      ...prefixedBy(task),
      operations: ['Read'],
    })),
    ...(role === 'settle' ? ['receipts'] : [role]).map((task): AclRule => ({
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
    ...table.filter((spec) => spec.record === 'MessageRequest').map((spec) => spec.name),
  ]);
  return [
    {
      role: 'operator',
      resource: 'cluster',
      name: 'kafka-cluster',
      prefixed: false,
      operations: ['Create', 'Describe', 'DescribeConfigs'],
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
    // trace, status, rebuild and doctor read by assignment under this name; they join no group.
    {
      role: 'operator',
      resource: 'group',
      name: 'millrace-read-',
      prefixed: true,
      operations: ['Read'],
    },
  ];
};

/** A line of kafka-acls.sh. */
export const aclLine = (rule: AclRule, principal: string): string =>
  [
    'kafka-acls.sh --bootstrap-server "$KAFKA_BROKERS" --add',
    `--allow-principal ${principal}`,
    ...rule.operations.map((operation) => `--operation ${operation}`),
    rule.resource === 'cluster' ? '--cluster' : `--${rule.resource} '${rule.name}'`,
    ...(rule.prefixed ? ['--resource-pattern-type prefixed'] : []),
  ].join(' ');
