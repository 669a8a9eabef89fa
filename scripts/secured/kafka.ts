import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { brokerLaunch, newClusterId } from '../../infra/stack/kafka-broker.mjs';
import {
  administrator,
  clientVariables,
  kafkaSecurity,
  principalOf,
} from '../../infra/stack/kafka-security.mjs';
import { readEnvironment } from '../../topologies/config.js';
import type { Role } from '../acls/roles.js';
import { withAdmin } from '../cli/kafka-admin.js';
import type { Variables } from '../installation/installation.js';
import { freePorts, startServer } from './process.js';

/** A broker with SASL over TLS and access rules, for one test. */
export interface SecuredKafka {
  /** Connection of the administrator, who may do anything. */
  readonly administrator: Variables;
  /** Connection of a role's principal. */
  readonly role: (role: Role) => Variables;
  /** All passwords, to look for where they must not be. */
  readonly passwords: readonly string[];
  readonly stop: () => Promise<void>;
}

export const startSecuredKafka = async (folder: string): Promise<SecuredKafka> => {
  const [port = 0, controllerPort = 0] = await freePorts(2);
  const dir = path.join(folder, 'kafka');
  mkdirSync(dir, { recursive: true });
  const security = kafkaSecurity(path.join(folder, 'secrets'));
  const node = { id: 1, port, controllerPort };
  const launch = await brokerLaunch(node, [node], { dir, clusterId: newClusterId(), security });
  const variablesOf = (user: string): Variables => ({
    KAFKA_BROKERS: `127.0.0.1:${port}`,
    ...clientVariables(security, user),
  });
  const admin = variablesOf(administrator);
  const { kafka } = readEnvironment(admin, ['kafka']);
  const server = await startServer({ command: launch.command, args: launch.args, cwd: dir }, () =>
    withAdmin(kafka, (client) => client.describeCluster()).then(
      ({ brokers }) => brokers.length > 0,
      () => false,
    ),
  );
  return {
    administrator: admin,
    role: (role) => variablesOf(principalOf(role)),
    passwords: security.users.map(security.password),
    stop: server.stop,
  };
};
