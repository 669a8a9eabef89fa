import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { LANES } from '../../schemas/generated/records.js';
import { plan } from '../../topologies/plan.js';
import { topicNames } from '../../topologies/topic-names.js';
import { CONFIG_FOLDER, businessConfig, tableOf } from '../cli/installation.js';
import type { AclRule, Role } from './roles.js';
import { ROLES, aclRules } from './roles.js';

type Principals = ReadonlyMap<Role, string>;

/** Collects role=User:name. */
const principal = (text: string, before: Principals = new Map()): Principals => {
  const [name, ...rest] = text.split('=');
  const role = ROLES.find((one) => one === name);
  if (role === undefined || rest.length === 0)
    throw new InvalidArgumentError(`role=User:name, where role is one of ${ROLES.join(', ')}.`);
  return new Map([...before, [role, rest.join('=')]]);
};

export interface AclCommandOptions {
  readonly principal?: Principals;
  readonly dir: string;
}

/** Options of every command that makes rules. */
export const withAclOptions = (command: Command): Command =>
  command
    .option(
      '--principal <role=principal>',
      `one role's principal; default User:millrace-<role>; repeat for more (${ROLES.join(', ')})`,
      principal,
    )
    .option('--dir <folder>', 'business configuration: its channels have topics', CONFIG_FOLDER);

/** The rules of an installation, and whom each role's are for. */
export const rulesOf = (
  prefix: string,
  { dir, principal: given }: AclCommandOptions,
): { readonly rules: readonly AclRule[]; readonly principalOf: (role: Role) => string } => {
  const config = businessConfig(dir);
  return {
    rules: aclRules({
      prefix,
      names: topicNames(prefix),
      table: tableOf(config, prefix),
      plan: plan({
        prefix,
        channels: config.channels.map((channel) => channel.name),
        tenantsWithOwnIngest: config.tenants
          .filter((tenant) => tenant.ownIngest)
          .map((tenant) => tenant.id),
        lanes: LANES,
      }),
    }),
    principalOf: (role) => given?.get(role) ?? `User:millrace-${role}`,
  };
};
