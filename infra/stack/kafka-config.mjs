// @ts-check
import { securityProperties } from './kafka-security.mjs';
/** @import { KafkaSecurity } from './kafka-security.mjs' */

/**
 * A broker of the local cluster. One is the stack's own; fault tests make three and stop them.
 * @typedef {{ id: number, port: number, controllerPort: number }} Node
 */

/**
 * @param {Node} node this broker
 * @param {readonly Node[]} cluster all of them, this one included
 * @param {string} logDir
 * @param {KafkaSecurity} [security] without, anyone may do anything
 * @returns {string} content of its server.properties
 */
export function brokerProperties(node, cluster, logDir, security) {
  const factor = Math.min(cluster.length, 3);
  // One broker down out of three must leave acks=all possible and lose nothing.
  const minIsr = factor === 3 ? 2 : 1;
  const listener = security === undefined ? 'PLAINTEXT' : 'CLIENTS';
  const properties = {
    'process.roles': 'broker,controller',
    'node.id': node.id,
    // Static voters: a dynamic quorum writes the controller's port into its log, and the stack
    // could then not be moved to other ports.
    'controller.quorum.voters': cluster
      .map(({ id, controllerPort }) => `${id}@127.0.0.1:${controllerPort}`)
      .join(','),
    listeners: `${listener}://127.0.0.1:${node.port},CONTROLLER://127.0.0.1:${node.controllerPort}`,
    'advertised.listeners': `${listener}://127.0.0.1:${node.port}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'inter.broker.listener.name': 'PLAINTEXT',
    'controller.listener.names': 'CONTROLLER',
    'log.dirs': logDir,

    'default.replication.factor': factor,
    'min.insync.replicas': minIsr,
    'offsets.topic.replication.factor': factor,
    'transaction.state.log.replication.factor': factor,
    'transaction.state.log.min.isr': minIsr,
    'share.coordinator.state.topic.replication.factor': factor,
    'share.coordinator.state.topic.min.isr': minIsr,
    // 50 partitions each by default: seconds at every start, for coordinators of one machine.
    'offsets.topic.num.partitions': 10,
    'transaction.state.log.num.partitions': 10,
    'share.coordinator.state.topic.num.partitions': 4,

    // A misspelt topic must fail, not come into being with one partition.
    'auto.create.topics.enable': false,
    'group.initial.rebalance.delay.ms': 0,
    // A consumer killed by a fault test is gone after 6 s instead of 45 s; three heartbeats each.
    'group.consumer.min.session.timeout.ms': 6_000,
    'group.consumer.session.timeout.ms': 6_000,
    'group.consumer.min.heartbeat.interval.ms': 2_000,
    'group.consumer.heartbeat.interval.ms': 2_000,
    // Readers of committed data wait behind an abandoned transaction until it is aborted.
    'transaction.abort.timed.out.transaction.cleanup.interval.ms': 1_000,

    // For a development disk. Topics that must keep longer say so themselves.
    'log.retention.hours': 72,
    'log.segment.bytes': 128 * 1024 * 1024,
    // 128 MiB by default, a quarter of the heap this broker gets.
    'log.cleaner.dedupe.buffer.size': 32 * 1024 * 1024,
    'num.network.threads': 2,
    'num.io.threads': 4,
    ...(security === undefined ? {} : securityProperties(security)),
  };
  return Object.entries(properties)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}

/** Warnings and worse: a broker that is well then prints nothing. */
export const log4j2 = `<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN">
  <Appenders>
    <Console name="stdout">
      <PatternLayout pattern="[%d] %p %m (%c)%n"/>
    </Console>
  </Appenders>
  <Loggers>
    <Root level="WARN"><AppenderRef ref="stdout"/></Root>
  </Loggers>
</Configuration>
`;
