import type { KafkaClients } from '../../runtime/kafka-clients.js';
import type { ConsumerClient, ProducerClient } from '../../runtime/rdkafka-client.js';
import { partitionId } from '../../runtime/raw-record.js';
import type { BrokerLog } from './broker-log.js';
import { SimulatedConsumer } from './consumer.js';
import type { Groups } from './groups.js';
import type { Host } from './host.js';
import { SimulatedProducer } from './producer.js';
import { type CoordinatorOptions, TransactionCoordinator } from './transactions.js';

/** The simulated cluster: logs, groups and transactions. */
export class Broker {
  readonly log: BrokerLog;
  readonly groups: Groups;
  readonly transactions: TransactionCoordinator;
  /** Consumers that wait for records. */
  readonly waiting = new Set<SimulatedConsumer>();

  constructor(options: Omit<CoordinatorOptions, 'stableMoved'>) {
    this.log = options.log;
    this.groups = options.groups;
    this.transactions = new TransactionCoordinator({
      ...options,
      stableMoved: ({ at }) => {
        this.wake(partitionId(at));
      },
    });
  }

  /** A plain producer's record, there at once. */
  write(write: Parameters<BrokerLog['of']>[0], now: number): void {
    const partition = this.log.of(write);
    partition.append(write, null, now);
    this.wake(partitionId(partition.at));
  }

  /** Clients for the code of one worker. */
  clients(host: Host): KafkaClients {
    return {
      consumer: (settings, onRebalance) =>
        new SimulatedConsumer(this, host, settings, onRebalance) as unknown as ConsumerClient,
      producer: (settings) =>
        new SimulatedProducer(this, host, settings) as unknown as ProducerClient,
    };
  }

  private wake(id: string): void {
    for (const consumer of [...this.waiting]) consumer.stableMoved(id);
  }
}
