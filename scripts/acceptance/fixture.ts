import { mkdtempSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Lane, MessageRequest } from '../../schemas/generated/records.js';
import { projectRoot } from '../../schemas/root.js';
import { ProducerClient } from '../../topologies/runtime/rdkafka-client.js';
import type { ClientSettings } from '../../topologies/runtime/rdkafka-client.js';
import type { Write } from '../../topologies/runtime/raw-record.js';
import { type Installation, type Variables, install } from '../installation/installation.js';

/** What simulated carriers and the workers that ask them agree on. */
export const SECRETS = {
  ALIYUN_ACCESS_KEY_ID: 'acceptance',
  ALIYUN_ACCESS_KEY_SECRET: 'acceptance-secret',
  WEBHOOK_SECRET: `whsec_${Buffer.from('a secret of the acceptance tests').toString('base64')}`,
} as const;

/** Two are enough for keys to part ways, and half the topics' cost of the default. */
const PARTITIONS = 2;
const WRITE_DEADLINE_MS = 30_000;

/** The configuration beside this file with its placeholders filled in, in a folder of its own. */
export const configFolder = (
  id: string,
  simulatorUrl: string,
  edit: (file: string, text: string) => string,
): string => {
  const from = path.join(projectRoot(), 'scripts', 'acceptance', 'config');
  const to = mkdtempSync(path.join(os.tmpdir(), 'millrace-acceptance-'));
  for (const file of readdirSync(from)) {
    const text = edit(file, readFileSync(path.join(from, file), 'utf8'));
    writeFileSync(
      path.join(to, file),
      text.replaceAll('http://simulator.invalid', simulatorUrl).replaceAll('RUN', id),
    );
  }
  return to;
};

/** A fresh installation with the acceptance tests' configuration. */
export const installAcceptance = (
  purpose: string,
  options: {
    readonly simulatorUrl?: string;
    readonly variables?: Variables;
    /** Of each topic; default: two. */
    readonly partitions?: number;
    /** A test's own additions to the configuration's files. */
    readonly edit?: (file: string, text: string) => string;
  } = {},
): Promise<Installation> =>
  install({
    base: process.env,
    purpose,
    dir: (id) =>
      configFolder(
        id,
        options.simulatorUrl ?? 'http://simulator.invalid',
        options.edit ?? ((_file, text) => text),
      ),
    partitions: options.partitions ?? PARTITIONS,
    variables: { ...SECRETS, ...options.variables },
  });

/** Writes records as any producer would, with librdkafka's own settings where a test wants them; returns once acknowledged. */
export const writeAll = async (
  installation: Installation,
  writes: readonly Write[],
  settings: ClientSettings = {},
): Promise<void> => {
  const producer = new ProducerClient({ ...installation.client, ...settings });
  await producer.connect(WRITE_DEADLINE_MS);
  try {
    await producer.produce(writes, WRITE_DEADLINE_MS);
    await producer.flush(WRITE_DEADLINE_MS);
  } finally {
    await producer.disconnect(WRITE_DEADLINE_MS);
  }
};

/** Writes requests to a lane's ingest topic, in order, each under its messageId; returns once acknowledged. */
export const writeRequests = async (
  installation: Installation,
  lane: Lane,
  requests: readonly MessageRequest[],
): Promise<void> => {
  const topic = installation.names.ingest(lane);
  const { encode } = installation.codecs.of('MessageRequest', topic);
  await writeAll(
    installation,
    requests.map((value) => ({
      topic,
      partition: null,
      key: value.messageId,
      value: encode(value),
    })),
  );
};
