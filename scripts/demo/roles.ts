import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseEnv } from 'node:util';
import type { BusinessConfig } from '../../schemas/config.js';
import { LANES } from '../../schemas/generated/records.js';
import { type KafkaEnvironment, readEnvironment } from '../../topologies/config.js';
import { plan } from '../../topologies/plan.js';
import { topicNames } from '../../topologies/topic-names.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import { aclEntries, createEntries } from '../acls/apply.js';
import { type Role, aclRules } from '../acls/roles.js';
import { withAdmin } from '../cli/kafka-admin.js';

type Variables = Readonly<Record<string, string | undefined>>;

/** How each role connects, where the cluster asks who one is (MILLRACE_ROLES, see docs/operators/security.md). */
export interface Roles {
  /** The environment as this role has it. */
  readonly variables: (role: Role) => Variables;
  /** Its connection, with the run's prefix. */
  readonly kafka: (role: Role) => KafkaEnvironment;
}

/** null where the cluster asks nobody: everything then connects alike. */
export const rolesOf = (variables: Variables, prefix: string): Roles | null => {
  const folder = variables['MILLRACE_ROLES'] ?? '';
  if (folder === '') return null;
  const ofRole = (role: Role): Variables => {
    const text = readFileSync(path.join(folder, `${role}.env`), 'utf8');
    return { ...variables, ...parseEnv(text.replaceAll(/^export /gm, '')) };
  };
  return {
    variables: ofRole,
    kafka: (role) => ({ ...readEnvironment(ofRole(role), ['kafka']).kafka, prefix }),
  };
};

/** Gives each role what `millrace acls print` says, for the topics of this run. */
export const grantRun = (
  kafka: KafkaEnvironment,
  config: BusinessConfig,
  table: readonly TopicSpec[],
): Promise<void> => {
  const { prefix } = kafka;
  const rules = aclRules({
    prefix,
    names: topicNames(prefix),
    table,
    plan: plan({
      prefix,
      channels: config.channels.map(({ name }) => name),
      tenantsWithOwnIngest: config.tenants.filter((one) => one.ownIngest).map(({ id }) => id),
      lanes: LANES,
    }),
  });
  return withAdmin(kafka, (admin) =>
    createEntries(
      admin,
      aclEntries(rules, (role) => `User:millrace-${role}`),
    ),
  );
};
