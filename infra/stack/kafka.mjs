import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, exists, verifyFiles } from './cache.mjs';
import { pinned } from './checksums.mjs';
import { javaCommand } from './java.mjs';
import { brokerProperties, log4j2 } from './kafka-config.mjs';
import { askBrokers } from './kafka-wire.mjs';
import { download } from './maven.mjs';
import { dataDir } from './paths.mjs';
import { runCommand } from './run-command.mjs';
/** @import { Component } from './components.mjs' */
/** @import { Node } from './kafka-config.mjs' */
/** @import { Launch } from './supervision.mjs' */

const version = '4.3.1';

/** @type {Component} */
export const kafka = {
  name: 'kafka',
  version,
  ports: (ports) => [
    { port: ports.kafka, purpose: 'Kafka' },
    { port: ports.kafkaController, purpose: "Kafka's controller" },
  ],
  async launch({ ports, signal }) {
    const node = { id: 1, port: ports.kafka, controllerPort: ports.kafkaController };
    return brokerLaunch(node, [node], {
      dir: join(dataDir, 'kafka'),
      clusterId: newClusterId(),
      signal,
    });
  },
  ready: askBrokers,
  startDeadlineMs: 60_000,
  // A clean stop writes what the next start would otherwise recover by reading every segment.
  stop: { signal: 'SIGTERM', graceMs: 20_000 },
};

/**
 * How to start one broker; formats its directory the first time.
 * @param {Node} node
 * @param {readonly Node[]} cluster
 * @param {{ dir: string, clusterId: string, signal?: AbortSignal | undefined }} options clusterId: the same for
 *   all of a cluster; used only when the directory is new
 * @returns {Promise<Launch>}
 */
export async function brokerLaunch(node, cluster, { dir, clusterId, signal }) {
  const lib = await kafkaJars(signal);
  await mkdir(dir, { recursive: true });
  const [properties, logging, logDir] = ['server.properties', 'log4j2.xml', 'log'].map((name) =>
    join(dir, name),
  );
  await writeFile(properties, brokerProperties(node, cluster, logDir));
  await writeFile(logging, log4j2);
  const java = [`-Dlog4j2.configurationFile=${logging}`, '-cp', `${lib}/*`];
  if (!(await exists(join(logDir, 'meta.properties')))) {
    const format = ['kafka.tools.StorageTool', 'format', '-t', clusterId, '-c', properties];
    await runCommand(javaCommand(), ['-Xmx128m', ...java, ...format], {
      deadlineMs: 60_000,
      signal,
    });
  }
  const limits = ['-Xmx512m', '-XX:+UseSerialGC', '-XX:+ExitOnOutOfMemoryError'];
  return {
    command: javaCommand(),
    args: [...limits, ...java, 'kafka.Kafka', properties],
    cwd: dir,
  };
}

/** @param {AbortSignal} [signal] */
const kafkaJars = (signal) =>
  cached(`kafka-${version}`, async (dir) => {
    const artifacts = [
      { group: 'org.apache.kafka', artifact: 'kafka_2.13', version },
      { group: 'org.apache.kafka', artifact: 'kafka-tools', version },
      // Not slf4j2: Kafka logs through slf4j 1.7, and with the other binding it says nothing at all.
      { group: 'org.apache.logging.log4j', artifact: 'log4j-slf4j-impl', version: '2.25.4' },
    ];
    await download(artifacts, dir, { transitive: true, signal });
    await verifyFiles(dir, pinned(`kafka-${version}.sha256`));
  });

/** 16 bytes as Kafka writes its ids; a leading dash would read as an option of its tools. */
export function newClusterId() {
  for (;;) {
    const id = randomBytes(16).toString('base64url');
    if (!id.startsWith('-')) return id;
  }
}
