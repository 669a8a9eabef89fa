import type { AclEntry, Admin } from 'kafkajs';
import kafkajs from 'kafkajs';
import { PipelineError } from '../../schemas/error.js';
import type { AclRule, Role } from './roles.js';

const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = kafkajs;

const RESOURCES = {
  topic: AclResourceTypes.TOPIC,
  group: AclResourceTypes.GROUP,
  'transactional-id': AclResourceTypes.TRANSACTIONAL_ID,
  cluster: AclResourceTypes.CLUSTER,
} as const satisfies Record<AclRule['resource'], unknown>;

const OPERATIONS = {
  Read: AclOperationTypes.READ,
  Write: AclOperationTypes.WRITE,
  Describe: AclOperationTypes.DESCRIBE,
  DescribeConfigs: AclOperationTypes.DESCRIBE_CONFIGS,
  Create: AclOperationTypes.CREATE,
  Alter: AclOperationTypes.ALTER,
  AlterConfigs: AclOperationTypes.ALTER_CONFIGS,
  Delete: AclOperationTypes.DELETE,
} as const satisfies Record<AclRule['operations'][number], unknown>;

/** Rules as Kafka keeps them: one operation each. */
export const aclEntries = (
  rules: readonly AclRule[],
  principalOf: (role: Role) => string,
): readonly AclEntry[] =>
  rules.flatMap((rule) =>
    rule.operations.map((operation) => ({
      resourceType: RESOURCES[rule.resource],
      resourceName: rule.name,
      resourcePatternType: rule.prefixed
        ? ResourcePatternTypes.PREFIXED
        : ResourcePatternTypes.LITERAL,
      principal: principalOf(rule.role),
      host: '*',
      operation: OPERATIONS[operation],
      permissionType: AclPermissionTypes.ALLOW,
    })),
  );

const idOf = (entry: AclEntry): string =>
  [
    entry.resourceType,
    entry.resourcePatternType,
    entry.resourceName,
    entry.principal,
    entry.host,
    entry.operation,
    entry.permissionType,
  ].join(' ');

/** Those that the cluster does not have yet. @throws KafkaJSProtocolError where we may not ask */
export const missingEntries = async (
  admin: Admin,
  entries: readonly AclEntry[],
): Promise<readonly AclEntry[]> => {
  const { resources } = await admin.describeAcls({
    resourceType: AclResourceTypes.ANY,
    resourcePatternType: ResourcePatternTypes.ANY,
    operation: AclOperationTypes.ANY,
    permissionType: AclPermissionTypes.ANY,
  });
  const there = new Set(
    resources.flatMap(({ acls, ...resource }) => acls.map((acl) => idOf({ ...resource, ...acl }))),
  );
  return entries.filter((entry) => !there.has(idOf(entry)));
};

/** Of one request: brokers write each request's rules as one batch of the metadata log, which is bounded. */
const AT_ONCE = 500;

/** @throws PipelineError `kafka_refused` where the cluster has no authorizer or refuses an entry */
export const createEntries = async (admin: Admin, entries: readonly AclEntry[]): Promise<void> => {
  for (let from = 0; from < entries.length; from += AT_ONCE)
    if (!(await admin.createAcls({ acl: entries.slice(from, from + AT_ONCE) })))
      throw new PipelineError('kafka_refused', 'Kafka did not take the access rules');
};
