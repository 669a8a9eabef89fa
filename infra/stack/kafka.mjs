// @ts-check
import { join } from 'node:path';
import { brokerLaunch, kafkaVersion, newClusterId } from './kafka-broker.mjs';
import { askBrokers } from './kafka-wire.mjs';
import { dataDir } from './paths.mjs';
/** @import { Component } from './components.mjs' */

/** @type {Component} */
export const kafka = {
  name: 'kafka',
  version: kafkaVersion,
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
  startDeadlineMs: 180_000,
  // A clean stop writes what the next start would otherwise recover by reading every segment.
  stop: { signal: 'SIGTERM', graceMs: 20_000 },
};
