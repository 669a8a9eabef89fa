import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { PipelineError, asError } from '../schemas/error.js';
import { postgresUrl, urlWith } from './connection-urls.js';

/**
 * The environment, validated at start with every error listed at once. Every variable may instead be given as
 * NAME_FILE, the path of a file that holds it: that is how secrets are mounted. ..._LOCATION names a PEM file, which
 * must be there. docs/operators/security.md says how to set up each dependency.
 */

type Source = Readonly<Record<string, string | undefined>>;

const port = z.coerce.number().int().min(0).max(65_535);
const url = (...protocols: readonly string[]) =>
  z.string().refine(
    (text) => {
      const parsed = URL.canParse(text) ? new URL(text) : undefined;
      return parsed !== undefined && protocols.includes(parsed.protocol.slice(0, -1));
    },
    { error: `must be a URL that begins with ${protocols.map((p) => `${p}://`).join(' or ')}` },
  );

const brokers = z
  .string()
  .transform((text) =>
    text
      .split(',')
      .map((address) => address.trim())
      .filter((address) => address !== ''),
  )
  .refine((list) => list.length > 0 && list.every((address) => /^[^\s:/]+:\d+$/.test(address)), {
    error: 'must be host:port[,host:port...]',
  });

/** The name of a PEM file, as librdkafka and Postgres' client take it. */
const pemFile = z.string().superRefine((location, context) => {
  try {
    if (!readFileSync(location, 'utf8').includes('-----BEGIN '))
      context.addIssue(`names ${location}, which is no PEM file`);
  } catch (thrown) {
    context.addIssue(`cannot be read: ${asError(thrown).message}`);
  }
});
/** The content of a PEM file, as all others take it. */
const pem = pemFile.transform((location) => readFileSync(location, 'utf8'));

export const SASL_MECHANISMS = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const;

const kafkaGroup = z
  .object({
    KAFKA_BROKERS: brokers,
    TOPIC_PREFIX: z
      .string()
      .regex(/^[A-Za-z0-9._-]{0,80}$/, 'letters, digits, ".", "_" and "-" only, at most 80')
      .default(''),
    KAFKA_GROUP_PROTOCOL: z.enum(['classic', 'consumer']).default('classic'),
    KAFKA_SECURITY_PROTOCOL: z
      .string()
      .toLowerCase()
      .pipe(z.enum(['plaintext', 'ssl', 'sasl_plaintext', 'sasl_ssl']))
      .default('plaintext'),
    KAFKA_SASL_MECHANISM: z.enum(SASL_MECHANISMS).optional(),
    KAFKA_SASL_USERNAME: z.string().optional(),
    KAFKA_SASL_PASSWORD: z.string().optional(),
    KAFKA_SSL_CA_LOCATION: pemFile.optional(),
    KAFKA_SSL_CERTIFICATE_LOCATION: pemFile.optional(),
    KAFKA_SSL_KEY_LOCATION: pemFile.optional(),
    KAFKA_SSL_KEY_PASSWORD: z.string().optional(),
  })
  .superRefine((env, context) => {
    if (!env.KAFKA_SECURITY_PROTOCOL.startsWith('sasl_')) return;
    for (const name of [
      'KAFKA_SASL_MECHANISM',
      'KAFKA_SASL_USERNAME',
      'KAFKA_SASL_PASSWORD',
    ] as const) {
      if (env[name] === undefined)
        context.addIssue({
          code: 'custom',
          path: [name],
          message: `is needed with KAFKA_SECURITY_PROTOCOL=${env.KAFKA_SECURITY_PROTOCOL}`,
        });
    }
  })
  .transform((env) => ({
    brokers: env.KAFKA_BROKERS,
    /** Before every topic, group and transactional id. */
    prefix: env.TOPIC_PREFIX,
    groupProtocol: env.KAFKA_GROUP_PROTOCOL,
    securityProtocol: env.KAFKA_SECURITY_PROTOCOL,
    sasl:
      env.KAFKA_SASL_MECHANISM !== undefined &&
      env.KAFKA_SASL_USERNAME !== undefined &&
      env.KAFKA_SASL_PASSWORD !== undefined
        ? {
            mechanism: env.KAFKA_SASL_MECHANISM,
            username: env.KAFKA_SASL_USERNAME,
            password: env.KAFKA_SASL_PASSWORD,
          }
        : undefined,
    ssl: {
      caLocation: env.KAFKA_SSL_CA_LOCATION,
      certificateLocation: env.KAFKA_SSL_CERTIFICATE_LOCATION,
      keyLocation: env.KAFKA_SSL_KEY_LOCATION,
      keyPassword: env.KAFKA_SSL_KEY_PASSWORD,
    },
  }));

const GROUPS = {
  kafka: kafkaGroup,
  /** Credentials by variable win over those in the URL; so everywhere below. */
  registry: z
    .object({
      SCHEMA_REGISTRY_URL: url('http', 'https'),
      SCHEMA_REGISTRY_USERNAME: z.string().optional(),
      SCHEMA_REGISTRY_PASSWORD: z.string().optional(),
      SCHEMA_REGISTRY_CA_LOCATION: pem.optional(),
      SCHEMA_REGISTRY_CERTIFICATE_LOCATION: pem.optional(),
      SCHEMA_REGISTRY_KEY_LOCATION: pem.optional(),
    })
    .transform((env) => ({
      url: env.SCHEMA_REGISTRY_URL,
      username: env.SCHEMA_REGISTRY_USERNAME,
      password: env.SCHEMA_REGISTRY_PASSWORD,
      ca: env.SCHEMA_REGISTRY_CA_LOCATION,
      cert: env.SCHEMA_REGISTRY_CERTIFICATE_LOCATION,
      key: env.SCHEMA_REGISTRY_KEY_LOCATION,
    })),
  postgres: z
    .object({
      DATABASE_URL: url('postgres', 'postgresql'),
      DATABASE_USERNAME: z.string().optional(),
      DATABASE_PASSWORD: z.string().optional(),
      DATABASE_SSLMODE: z.enum(['disable', 'require', 'verify-ca', 'verify-full']).optional(),
      DATABASE_CA_LOCATION: pemFile.optional(),
      DATABASE_CERTIFICATE_LOCATION: pemFile.optional(),
      DATABASE_KEY_LOCATION: pemFile.optional(),
      /** Schema of this installation's tables, so that several share a database. */
      DATABASE_SCHEMA: z
        .string()
        .regex(/^[a-z_][a-z0-9_]{0,62}$/, 'lower-case letters, digits and _ only, at most 63')
        .default('millrace'),
    })
    .transform((env) => ({
      /** Holds all of it, password and authority included: whoever connects needs nothing else. */
      url: postgresUrl(env.DATABASE_URL, {
        username: env.DATABASE_USERNAME,
        password: env.DATABASE_PASSWORD,
        mode: env.DATABASE_SSLMODE,
        caLocation: env.DATABASE_CA_LOCATION,
        certificateLocation: env.DATABASE_CERTIFICATE_LOCATION,
        keyLocation: env.DATABASE_KEY_LOCATION,
      }),
      schema: env.DATABASE_SCHEMA,
    })),
  redis: z
    .object({
      REDIS_URL: url('redis', 'rediss'),
      REDIS_USERNAME: z.string().optional(),
      REDIS_PASSWORD: z.string().optional(),
      REDIS_CA_LOCATION: pem.optional(),
      REDIS_CERTIFICATE_LOCATION: pem.optional(),
      REDIS_KEY_LOCATION: pem.optional(),
    })
    .superRefine((env, context) => {
      // ioredis would speak TLS to a redis:// address, or not, by which option it meets first.
      if (env.REDIS_CA_LOCATION !== undefined && !env.REDIS_URL.startsWith('rediss:'))
        context.addIssue({
          code: 'custom',
          path: ['REDIS_CA_LOCATION'],
          message: 'is for TLS: REDIS_URL must then begin with rediss://',
        });
    })
    .transform((env) => ({
      /** Credentials included. */
      url: urlWith(env.REDIS_URL, env.REDIS_USERNAME, env.REDIS_PASSWORD),
      ca: env.REDIS_CA_LOCATION,
      cert: env.REDIS_CERTIFICATE_LOCATION,
      key: env.REDIS_KEY_LOCATION,
    })),
  influx: z
    .object({
      INFLUX_URL: url('http', 'https'),
      INFLUX_TOKEN: z.string().default(''),
      INFLUX_CA_LOCATION: pem.optional(),
      /** Empty for InfluxDB 1.x. */
      INFLUX_ORG: z.string().default(''),
      /** database/retention-policy for InfluxDB 1.x. */
      INFLUX_BUCKET: z.string(),
    })
    .transform((env) => ({
      url: env.INFLUX_URL,
      token: env.INFLUX_TOKEN,
      ca: env.INFLUX_CA_LOCATION,
      org: env.INFLUX_ORG,
      bucket: env.INFLUX_BUCKET,
    })),
  worker: z
    .object({
      RECIPIENT_HASH_KEY: z
        .string()
        .min(16, 'must have at least 16 characters; it keys the hash that stands for a recipient'),
      /** Carriers' receipts; 0 takes any free port. */
      CALLBACK_PORT: port.default(8090),
      /** Carriers must end the callback's path with it. */
      CALLBACK_TOKEN: z
        .string()
        .regex(
          /^[A-Za-z0-9._~-]{16,}$/,
          'is part of a path: at least 16 letters, digits and . _ ~ -, e.g. from openssl rand -hex 32',
        )
        .optional(),
      /** /health, /ready and /metrics; 0 takes any free port. */
      HEALTH_PORT: port.default(8091),
      LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal']).default('info'),
      /** The numbered place of this worker in its sub-topology, held by nobody else. */
      SLOT: z.coerce.number().int().min(0).max(9_999).default(0),
    })
    .transform((env) => ({
      recipientHashKey: env.RECIPIENT_HASH_KEY,
      callbackPort: env.CALLBACK_PORT,
      callbackToken: env.CALLBACK_TOKEN,
      healthPort: env.HEALTH_PORT,
      logLevel: env.LOG_LEVEL,
      slot: env.SLOT,
    })),
} as const;

export type EnvironmentGroup = keyof typeof GROUPS;
export const ENVIRONMENT_GROUPS = Object.keys(GROUPS) as readonly EnvironmentGroup[];
/** The whole environment, as a worker needs it; a command asks only for the groups it uses. */
export type Environment = { readonly [G in EnvironmentGroup]: z.output<(typeof GROUPS)[G]> };
export type KafkaEnvironment = Environment['kafka'];

const EXAMPLES: Readonly<Record<string, string>> = {
  KAFKA_BROKERS: 'KAFKA_BROKERS=127.0.0.1:9092',
  SCHEMA_REGISTRY_URL: 'SCHEMA_REGISTRY_URL=http://127.0.0.1:8081',
  DATABASE_URL: 'DATABASE_URL=postgres://user:password@127.0.0.1:5432/millrace',
  REDIS_URL: 'REDIS_URL=redis://127.0.0.1:6379',
  INFLUX_URL: 'INFLUX_URL=http://127.0.0.1:8086',
  INFLUX_BUCKET: 'INFLUX_BUCKET=millrace',
  RECIPIENT_HASH_KEY: 'RECIPIENT_HASH_KEY=$(openssl rand -hex 32), the same for every worker',
};

/** Empty counts as unset: that is what an unset variable of a compose or systemd file looks like. */
const withFiles = (source: Source, errors: string[]): Record<string, string> => {
  const values: Record<string, string> = {};
  for (const [name, value] of Object.entries(source))
    if (value !== undefined && value !== '') values[name] = value;
  for (const [name, file] of Object.entries(values)) {
    if (!/^[A-Z][A-Z0-9_]*_FILE$/.test(name)) continue;
    const plain = name.slice(0, -'_FILE'.length);
    if (!VARIABLE_NAMES.has(plain)) continue;
    if (source[plain] !== undefined && source[plain] !== '') {
      errors.push(`${plain} and ${name} are both set: unset one`);
      continue;
    }
    try {
      values[plain] = readFileSync(file, 'utf8').trim();
    } catch (thrown) {
      errors.push(`${name}: cannot read the file: ${asError(thrown).message}`);
    }
  }
  return values;
};

const VARIABLE_NAMES: ReadonlySet<string> = new Set(
  Object.values(GROUPS).flatMap((group) => Object.keys(group.in.shape)),
);

/**
 * The named groups of the environment.
 * @throws PipelineError `config_invalid` whose message lists every error, one a line, secrets never quoted.
 */
export const readEnvironment = <G extends EnvironmentGroup>(
  source: Source,
  groups: readonly G[],
): Pick<Environment, G> => {
  const errors: string[] = [];
  const values = withFiles(source, errors);
  const result: Partial<Record<EnvironmentGroup, unknown>> = {};
  for (const group of groups) {
    const parsed = GROUPS[group].safeParse(values);
    if (parsed.success) {
      result[group] = parsed.data;
      continue;
    }
    for (const issue of parsed.error.issues) {
      const name = String(issue.path[0] ?? group);
      const example = EXAMPLES[name];
      errors.push(
        values[name] === undefined && issue.code === 'invalid_type'
          ? `${name} is not set${example === undefined ? '' : `; e.g. ${example}`}`
          : `${name} ${issue.message}`,
      );
    }
  }
  if (errors.length > 0)
    throw new PipelineError(
      'config_invalid',
      `${errors.length} ${errors.length === 1 ? 'error' : 'errors'} in the environment:\n${errors.map((error) => `  ${error}`).join('\n')}`,
    );
  return result as Pick<Environment, G>;
};
