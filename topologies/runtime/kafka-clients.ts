import type { TopicPartition } from './raw-record.js';
import { type ClientSettings, ConsumerClient, ProducerClient } from './rdkafka-client.js';

/**
 * Where sessions, sinks and restores get their clients: librdkafka. The simulation gives them clients of a simulated
 * broker instead, so that the code that runs there is this code (topologies/testing/simulation).
 */
export interface KafkaClients {
  readonly consumer: (
    settings: ClientSettings,
    onRebalance?: (error: unknown, partitions: TopicPartition[]) => void,
  ) => ConsumerClient;
  readonly producer: (settings: ClientSettings) => ProducerClient;
}

export const rdkafkaClients: KafkaClients = {
  consumer: (settings, onRebalance) => new ConsumerClient(settings, onRebalance),
  producer: (settings) => new ProducerClient(settings),
};
