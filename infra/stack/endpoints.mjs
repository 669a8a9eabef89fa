// @ts-check
/** @import { Ports } from './ports.mjs' */

/**
 * Where each component answers, and whether it is ours to start. Setting a component's variable
 * replaces it by what the variable names.
 * @typedef {'kafka' | 'registry' | 'postgres' | 'redis' | 'influx'} ComponentName
 * @typedef {{ url: string, variable: string, external: boolean }} Endpoint
 * @typedef {Record<ComponentName, Endpoint>} Endpoints
 */

/** @type {readonly ComponentName[]} */
export const componentNames = ['kafka', 'registry', 'postgres', 'redis', 'influx'];

/** @type {Record<ComponentName, string>} */
export const variables = {
  kafka: 'KAFKA_BROKERS',
  registry: 'SCHEMA_REGISTRY_URL',
  postgres: 'DATABASE_URL',
  redis: 'REDIS_URL',
  influx: 'INFLUX_URL',
};

/**
 * @param {Ports} ports
 * @returns {Record<ComponentName, string>}
 */
const localUrls = (ports) => ({
  kafka: `127.0.0.1:${ports.kafka}`,
  registry: `http://127.0.0.1:${ports.registry}/apis/ccompat/v7`,
  postgres: `postgresql://millrace:millrace@127.0.0.1:${ports.postgres}/millrace`,
  redis: `redis://127.0.0.1:${ports.redis}/0`,
  influx: `http://127.0.0.1:${ports.influx}`,
});

/**
 * @param {NodeJS.ProcessEnv} env
 * @param {Ports} ports
 * @returns {Endpoints}
 */
export function endpoints(env, ports) {
  const local = localUrls(ports);
  const entries = componentNames.map((name) => {
    const variable = variables[name];
    const given = env[variable];
    // A shell that sourced .stack/env has every variable set, to our own addresses: not a replacement.
    const external = given !== undefined && given !== '' && given !== local[name];
    return [name, { url: external ? given : local[name], variable, external }];
  });
  return Object.fromEntries(entries);
}

/**
 * What a program needs to reach the stack; also the content of `.stack/env`.
 * @param {NodeJS.ProcessEnv} env
 * @param {Endpoints} where
 * @returns {Record<string, string>}
 */
export function stackVariables(env, where) {
  const addresses = Object.fromEntries(
    componentNames.map((name) => [where[name].variable, where[name].url]),
  );
  // InfluxDB 1.8 takes user:password as a v2 token, database/retention policy as a bucket, any org.
  const influx = {
    INFLUX_TOKEN: 'millrace:millrace',
    INFLUX_ORG: 'millrace',
    INFLUX_BUCKET: 'millrace/autogen',
  };
  const given = where.influx.external
    ? Object.keys(influx).flatMap((name) => (env[name] ? [[name, env[name]]] : []))
    : [];
  return { ...addresses, ...influx, ...Object.fromEntries(given) };
}
