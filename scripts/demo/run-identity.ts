import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { projectRoot } from '../../schemas/root.js';
import type { Environment } from '../../topologies/config.js';
import { databaseUrl, influxBucket } from './installation.js';

type DemoEnvironment = Pick<Environment, 'kafka' | 'postgres' | 'influx'>;

/** What sets one run apart from all others on the same servers. */
export interface RunIdentity {
  readonly environment: DemoEnvironment;
  /** Logs of the processes, the provider's journal. */
  readonly folder: string;
  /** For the worker and the simulator; made for this run alone. */
  readonly secrets: Readonly<Record<string, string>>;
}

export const runIdentity = (server: DemoEnvironment, seed: number): RunIdentity => {
  const run = `${seed}-${Date.now().toString(36)}`;
  const name = `millrace_demo_${run.replaceAll('-', '_')}`;
  const folder = path.join(projectRoot(), '.stack', 'demo', run);
  mkdirSync(folder, { recursive: true });
  return {
    environment: {
      kafka: { ...server.kafka, prefix: `${server.kafka.prefix}demo-${run}.` },
      postgres: { ...server.postgres, url: databaseUrl(server.postgres.url, name) },
      influx: { ...server.influx, bucket: influxBucket(server.influx.bucket, name) },
    },
    folder,
    secrets: {
      RECIPIENT_HASH_KEY: randomBytes(32).toString('hex'),
      CALLBACK_TOKEN: randomBytes(16).toString('hex'),
      ALIYUN_ACCESS_KEY_ID: `demo-${run}`,
      ALIYUN_ACCESS_KEY_SECRET: randomBytes(16).toString('hex'),
      WEBHOOK_SECRET: `whsec_${randomBytes(24).toString('base64')}`,
    },
  };
};
