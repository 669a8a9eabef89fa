import type { Admin } from 'kafkajs';
import { PipelineError } from '../../schemas/error.js';
import type { KafkaEnvironment } from '../../topologies/config.js';
import type { TopicPartition } from '../../topologies/runtime/raw-record.js';
import { BrokerConnection } from './connection.js';

/** Partitions by the broker that leads them. */
export type ByLeader = ReadonlyMap<number, readonly TopicPartition[]>;

/** A cluster's brokers, each connected to when it is first asked. */
export class Brokers {
  readonly #open = new Map<number, Promise<BrokerConnection>>();
  readonly #kafka: KafkaEnvironment;
  readonly #admin: Admin;
  #addresses: Awaited<ReturnType<Admin['describeCluster']>>['brokers'] = [];

  private constructor(kafka: KafkaEnvironment, admin: Admin) {
    this.#kafka = kafka;
    this.#admin = admin;
  }

  /** Runs with the brokers that are registered now, and closes what was opened. */
  static async with<T>(
    kafka: KafkaEnvironment,
    admin: Admin,
    run: (brokers: Brokers) => Promise<T>,
  ): Promise<T> {
    const brokers = new Brokers(kafka, admin);
    try {
      brokers.#addresses = (await admin.describeCluster()).brokers;
      return await run(brokers);
    } finally {
      for (const one of brokers.#open.values())
        void one.then(
          (connection) => {
            connection.close();
          },
          () => undefined,
        );
    }
  }

  ids(): readonly number[] {
    return this.#addresses.map(({ nodeId }) => nodeId);
  }

  /** @throws PipelineError `kafka_unavailable` */
  async at(nodeId: number): Promise<BrokerConnection> {
    const address = this.#addresses.find((one) => one.nodeId === nodeId);
    if (address === undefined)
      throw new PipelineError(
        'kafka_unavailable',
        nodeId < 0
          ? 'A partition has no leader now: too few brokers are up.'
          : `Kafka's broker ${nodeId} is not registered now: it may be restarting.`,
      );
    const known = this.#open.get(nodeId) ?? BrokerConnection.open(this.#kafka, address);
    this.#open.set(nodeId, known);
    return known;
  }

  /** @throws PipelineError `kafka_unavailable` */
  async byLeader(topics: readonly string[]): Promise<ByLeader> {
    const found = new Map<number, TopicPartition[]>();
    if (topics.length === 0) return found;
    const metadata = await this.#admin.fetchTopicMetadata({ topics: [...topics] });
    for (const { name, partitions } of metadata.topics)
      for (const { partitionId, leader } of partitions)
        found.set(leader, [...(found.get(leader) ?? []), { topic: name, partition: partitionId }]);
    return found;
  }
}
