// @ts-check
import { join } from 'node:path';
import { brokerLaunch, kafkaVersion, newClusterId } from './kafka-broker.mjs';
import { askSecured, isSecured, securedSecrets, setSecured } from './kafka-secured.mjs';
import { askBrokers } from './kafka-wire.mjs';
import { dataDir, secureDir } from './paths.mjs';
/** @import { Component } from './components.mjs' */

/** @type {Component} */
export const kafka = {
  name: 'kafka',
  version: kafkaVersion,
  ports: (ports) => [
    { port: ports.kafka, purpose: 'Kafka' },
    { port: ports.kafkaController, purpose: "Kafka's controller" },
  ],
  async launch({ ports, signal, secure = false }) {
    const node = { id: 1, port: ports.kafka, controllerPort: ports.kafkaController };
    setSecured(secure);
    return brokerLaunch(node, [node], {
      // Its users are formatted into it: a directory of its own, beside their passwords.
      dir: join(secure ? secureDir : dataDir, 'kafka'),
      clusterId: newClusterId(),
      security: secure ? securedSecrets() : undefined,
      signal,
    });
  },
  ready: (url) => (isSecured(url) ? askSecured(url) : askBrokers(url)),
  startDeadlineMs: 180_000,
  // A clean stop writes what the next start would otherwise recover by reading every segment.
  stop: { signal: 'SIGTERM', graceMs: 20_000 },
};
