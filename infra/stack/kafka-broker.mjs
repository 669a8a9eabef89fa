// @ts-check
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, exists, verifyFiles } from './cache.mjs';
import { pinned } from './checksums.mjs';
import { javaCommand } from './java.mjs';
import { brokerProperties, log4j2 } from './kafka-config.mjs';
import { scramOptions } from './kafka-security.mjs';
import { download } from './maven.mjs';
import { runCommand } from './run-command.mjs';
/** @import { Node } from './kafka-config.mjs' */
/** @import { KafkaSecurity } from './kafka-security.mjs' */
/** @import { Launch } from './supervision.mjs' */

export const kafkaVersion = '4.3.1';

/** @param {string} dir a broker's @returns {string} where it keeps its log */
export const brokerLogDir = (dir) => join(dir, 'log');

/**
 * How to start one broker; formats its directory the first time.
 * @param {Node} node
 * @param {readonly Node[]} cluster
 * @param {{ dir: string, clusterId: string, signal?: AbortSignal | undefined,
 *   security?: KafkaSecurity | undefined }} options clusterId: the same for all of a cluster; used only when the
 *   directory is new, as are the passwords
 * @returns {Promise<Launch>}
 */
export async function brokerLaunch(node, cluster, { dir, clusterId, signal, security }) {
  const lib = await kafkaJars(signal);
  await mkdir(dir, { recursive: true });
  const properties = join(dir, 'server.properties');
  const logging = join(dir, 'log4j2.xml');
  const logDir = brokerLogDir(dir);
  await writeFile(properties, brokerProperties(node, cluster, logDir, security), { mode: 0o600 });
  await writeFile(logging, log4j2);
  const java = [`-Dlog4j2.configurationFile=${logging}`, '-cp', `${lib}/*`];
  if (!(await exists(join(logDir, 'meta.properties')))) {
    const format = [
      ...['kafka.tools.StorageTool', 'format', '-t', clusterId, '-c', properties],
      ...(security === undefined ? [] : scramOptions(security)),
    ];
    await runCommand(javaCommand(), ['-Xmx128m', ...java, ...format], {
      deadlineMs: 60_000,
      signal,
    });
  }
  const limits = ['-Xmx1g', ...performanceOptions(), '-XX:+ExitOnOutOfMemoryError'];
  return {
    command: javaCommand(),
    args: [...limits, ...java, 'kafka.Kafka', properties],
    cwd: dir,
  };
}

/**
 * The variable is that of Kafka's own scripts. Default: the first compiler only. Runs here are short: the second took half
 * a core for their first minutes, and its code came too late. For long ones: docs/performance.md.
 */
const performanceOptions = () =>
  process.env['KAFKA_JVM_PERFORMANCE_OPTS']?.split(/\s+/).filter(Boolean) ?? [
    '-XX:+UseSerialGC',
    '-XX:TieredStopAtLevel=1',
  ];

/** @param {AbortSignal} [signal] */
const kafkaJars = (signal) =>
  cached(`kafka-${kafkaVersion}`, async (dir) => {
    const artifacts = [
      { group: 'org.apache.kafka', artifact: 'kafka_2.13', version: kafkaVersion },
      { group: 'org.apache.kafka', artifact: 'kafka-tools', version: kafkaVersion },
      // Not slf4j2: Kafka logs through slf4j 1.7, and with the other binding it says nothing at all.
      { group: 'org.apache.logging.log4j', artifact: 'log4j-slf4j-impl', version: '2.25.4' },
    ];
    await download(artifacts, dir, { transitive: true, signal });
    await verifyFiles(dir, pinned(`kafka-${kafkaVersion}.sha256`));
  });

/** 16 bytes as Kafka writes its ids; a leading dash would read as an option of its tools. */
export function newClusterId() {
  for (;;) {
    const id = randomBytes(16).toString('base64url');
    if (!id.startsWith('-')) return id;
  }
}
