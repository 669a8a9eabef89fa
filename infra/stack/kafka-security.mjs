// @ts-check
import { pbkdf2Sync, randomBytes, X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { issue } from './certificates.mjs';

/**
 * What a broker with security on needs, and what its clients need to reach it: an authority, the broker's certificate,
 * and a password for each principal, all in one folder that only its owner can read.
 * @typedef {{ dir: string, keystore: string, authority: string, users: readonly string[],
 *   password: (user: string) => string, passwordFile: (user: string) => string }} KafkaSecurity
 *   keystore, authority: PEM files
 */

/** Worker groups, producers, operators, readers: what `millrace acls print` has rules for. */
export const roles = [
  'producer',
  'reader',
  'intake',
  'send',
  'again',
  'settle',
  'windows',
  'operator',
];
export const principalOf = (/** @type {string} */ role) => `millrace-${role}`;
/** May do anything: makes topics and access rules. */
export const administrator = principalOf('admin');
const brokerUser = 'broker';

/** Kafka's own default and least. */
const iterations = 4_096;
const renewedBeforeMs = 30 * 86_400_000;

/**
 * Made the first time, then kept: the passwords are part of the broker's formatted directory.
 * @param {string} dir
 * @returns {KafkaSecurity}
 */
export function kafkaSecurity(dir) {
  const passwords = join(dir, 'passwords');
  mkdirSync(passwords, { recursive: true, mode: 0o700 });
  const users = [brokerUser, administrator, ...roles.map(principalOf)];
  const passwordFile = (/** @type {string} */ user) => join(passwords, user);
  for (const user of users) {
    if (read(passwordFile(user)) === null) {
      writeFileSync(passwordFile(user), randomBytes(24).toString('base64url'), { mode: 0o600 });
    }
  }
  const keystore = join(dir, 'broker.pem');
  const authority = join(dir, 'ca.pem');
  if (endsSoon(read(keystore))) {
    // Both anew, and the authority's key forgotten at once: nobody can sign with it.
    const issuer = issue({ name: 'Millrace local stack' });
    const broker = issue({ name: brokerUser, hosts: ['127.0.0.1', 'localhost'], issuer });
    writeFileSync(keystore, broker.key + broker.certificate, { mode: 0o600 });
    writeFileSync(authority, issuer.certificate);
  }
  return {
    dir,
    keystore,
    authority,
    users,
    password: (user) => read(passwordFile(user)) ?? '',
    passwordFile,
  };
}

/** @param {string} path */
function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

/** @param {string | null} pem */
const endsSoon = (pem) =>
  pem === null || Date.parse(new X509Certificate(pem).validTo) < Date.now() + renewedBeforeMs;

/**
 * Listeners, and who may do what: SASL over TLS for clients and between brokers, nobody anonymous, and no access but by
 * a rule. Controllers cannot keep SCRAM credentials for one another, so among themselves they use PLAIN, over TLS too.
 * @param {KafkaSecurity} security
 * @returns {Record<string, string>} properties over those of a broker without security
 */
export function securityProperties({ keystore, authority, password }) {
  const login = (/** @type {string} */ module, more = '') =>
    `org.apache.kafka.common.security.${module} required username="${brokerUser}" password="${password(brokerUser)}"${more};`;
  return {
    'listener.security.protocol.map': 'CLIENTS:SASL_SSL,CONTROLLER:SASL_SSL',
    'inter.broker.listener.name': 'CLIENTS',
    'sasl.mechanism.inter.broker.protocol': 'SCRAM-SHA-512',
    'sasl.mechanism.controller.protocol': 'PLAIN',
    'listener.name.clients.sasl.enabled.mechanisms': 'SCRAM-SHA-512',
    'listener.name.clients.scram-sha-512.sasl.jaas.config': login('scram.ScramLoginModule'),
    'listener.name.controller.sasl.enabled.mechanisms': 'PLAIN',
    'listener.name.controller.plain.sasl.jaas.config': login(
      'plain.PlainLoginModule',
      ` user_${brokerUser}="${password(brokerUser)}"`,
    ),
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': keystore,
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.location': authority,
    'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
    'super.users': `User:${brokerUser};User:${administrator}`,
    'allow.everyone.if.no.acl.found': 'false',
  };
}

/**
 * Options of the storage tool that write each user's SCRAM credential. Salted here: a command line is no place for a
 * password (RFC 5802, SaltedPassword).
 * @param {KafkaSecurity} security
 */
export const scramOptions = ({ users, password }) =>
  users.flatMap((user) => {
    const salt = randomBytes(16);
    const salted = pbkdf2Sync(password(user), salt, iterations, 64, 'sha512');
    return [
      '--add-scram',
      `SCRAM-SHA-512=[name=${user},iterations=${iterations},salt="${salt.toString('base64')}",saltedpassword="${salted.toString('base64')}"]`,
    ];
  });

/**
 * Variables with which a program reaches the broker as this user.
 * @param {KafkaSecurity} security
 * @param {string} user
 * @returns {Record<string, string>}
 */
export const clientVariables = ({ authority, passwordFile }, user) => ({
  KAFKA_SECURITY_PROTOCOL: 'sasl_ssl',
  KAFKA_SASL_MECHANISM: 'SCRAM-SHA-512',
  KAFKA_SASL_USERNAME: user,
  KAFKA_SASL_PASSWORD_FILE: passwordFile(user),
  KAFKA_SSL_CA_LOCATION: authority,
});
