// @ts-check
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { envText } from './env-file.mjs';
import {
  administrator,
  clientVariables,
  kafkaSecurity,
  principalOf,
  roles,
} from './kafka-security.mjs';
import { runDir, secureDir } from './paths.mjs';

/** Says that the broker of this checkout was started with security, for those who ask it later. */
const mark = join(runDir, 'kafka-secured');
const rolesDir = join(secureDir, 'roles');
const askForMs = 5_000;

/** @param {boolean} secured */
export function setSecured(secured) {
  if (secured) writeFileSync(mark, '');
  else rmSync(mark, { force: true });
}

export const runsSecured = () => exists(mark);

/**
 * Whether an address is to be asked with credentials: our own broker started with security, or another for which the
 * environment says so.
 * @param {string} url
 * @param {NodeJS.ProcessEnv} [env]
 */
export const isSecured = (url, env = process.env) =>
  (exists(mark) && url.startsWith('127.0.0.1:')) ||
  (env['KAFKA_SECURITY_PROTOCOL'] ?? 'plaintext').toLowerCase() !== 'plaintext';

export const securedSecrets = () => kafkaSecurity(join(secureDir, 'secrets'));

/** Variables of the administrator, who sets up topics and access rules; and where those of each role are. */
export const securedVariables = () => ({
  ...clientVariables(securedSecrets(), administrator),
  MILLRACE_ROLES: rolesDir,
});

/**
 * A file for each role, to be sourced after `.stack/env`: who it is, and its password's file.
 * @returns {string} their folder
 */
export function writeRoleFiles() {
  const security = securedSecrets();
  mkdirSync(rolesDir, { recursive: true, mode: 0o700 });
  for (const role of roles) {
    const text = envText(clientVariables(security, principalOf(role)));
    writeFileSync(join(rolesDir, `${role}.env`), text, { mode: 0o600 });
  }
  return rolesDir;
}

/**
 * Whether at least one broker is registered, asked with credentials.
 * @param {string} brokers "host:port,host:port"
 */
export async function askSecured(brokers) {
  // Not at the top: these files are read before there is a node_modules.
  const { default: kafkajs } = await import('kafkajs');
  const own = exists(mark);
  const given = {
    ...process.env,
    ...(own ? clientVariables(securedSecrets(), administrator) : {}),
  };
  const text = (/** @type {string} */ name) => {
    const file = given[`${name}_FILE`];
    return file ? readFileSync(file, 'utf8').trim() : (given[name] ?? '');
  };
  const mechanism = (given['KAFKA_SASL_MECHANISM'] ?? '').toLowerCase();
  const encrypted = (given['KAFKA_SECURITY_PROTOCOL'] ?? '').toLowerCase().endsWith('ssl');
  const ca = given['KAFKA_SSL_CA_LOCATION'];
  const credentials = {
    username: text('KAFKA_SASL_USERNAME'),
    password: text('KAFKA_SASL_PASSWORD'),
  };
  const admin = new kafkajs.Kafka({
    brokers: brokers.split(','),
    clientId: 'millrace-stack',
    logLevel: kafkajs.logLevel.NOTHING,
    connectionTimeout: askForMs,
    retry: { retries: 0 },
    ssl: encrypted && ca !== undefined ? { ca: readFileSync(ca, 'utf8') } : encrypted,
    ...(mechanism === ''
      ? {}
      : {
          sasl: /** @type {import('kafkajs').SASLOptions} */ ({ mechanism, ...credentials }),
        }),
  }).admin();
  try {
    await admin.connect();
    return (await admin.describeCluster()).brokers.length > 0;
  } catch {
    return false;
  } finally {
    await admin.disconnect().catch(() => {});
  }
}

/** @param {string} path */
function exists(path) {
  try {
    readFileSync(path);
    return true;
  } catch {
    return false;
  }
}
