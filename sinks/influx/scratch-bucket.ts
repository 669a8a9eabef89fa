import { randomBytes } from 'node:crypto';
import type { InfluxSettings } from './settings.js';

/** A bucket (1.8: a database) of a test's own, on the server that INFLUX_URL names. */
export interface ScratchBucket extends InfluxSettings {
  readonly drop: () => Promise<void>;
}

const required = (name: string): string => {
  const value = process.env[name];
  if (value === undefined)
    throw new Error(`${name} is not set: npm run stack up, then source .stack/env`);
  return value;
};

export const scratchBucket = async (): Promise<ScratchBucket> => {
  const server = {
    url: required('INFLUX_URL'),
    token: required('INFLUX_TOKEN'),
    org: process.env['INFLUX_ORG'] ?? '',
  };
  const name = `millrace_test_${randomBytes(6).toString('hex')}`;
  const ask = async (path: string, init: { method: string; body?: string | URLSearchParams }) => {
    const authorization = `Token ${server.token}`;
    const response = await fetch(`${server.url}${path}`, { ...init, headers: { authorization } });
    return { ok: response.ok, status: response.status, text: await response.text() };
  };
  const buckets = '/api/v2/buckets';
  const orgs = await ask(`/api/v2/orgs?org=${encodeURIComponent(server.org)}`, { method: 'GET' });
  if (!orgs.ok) {
    // 1.8 knows databases only.
    const query = (q: string) =>
      ask('/query', { method: 'POST', body: new URLSearchParams({ q }) });
    const made = await query(`CREATE DATABASE "${name}"`);
    if (!made.ok) throw new Error(`no database for the test: ${made.text}`);
    const drop = async (): Promise<void> => {
      await query(`DROP DATABASE "${name}"`);
    };
    return { ...server, bucket: `${name}/autogen`, drop };
  }
  const orgID = (JSON.parse(orgs.text) as { orgs: { id: string }[] }).orgs[0]?.id;
  const made = await ask(buckets, { method: 'POST', body: JSON.stringify({ orgID, name }) });
  if (!made.ok) throw new Error(`no bucket for the test: ${made.text}`);
  const { id } = JSON.parse(made.text) as { id: string };
  const drop = async (): Promise<void> => {
    await ask(`${buckets}/${id}`, { method: 'DELETE' });
  };
  return { ...server, bucket: name, drop };
};
