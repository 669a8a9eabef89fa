import type { Write } from '../../runtime/raw-record.js';
import type { ClientSettings, PartitionOffset } from '../../runtime/rdkafka-client.js';
import { brokerErrors } from './broker-errors.js';
import type { Broker } from './broker.js';
import type { SimulatedConsumer } from './consumer.js';
import type { Host, Request } from './host.js';
import type { LATER, ProducerIdentity } from './transactions.js';

/** ProducerClient over the simulated broker. */
export class SimulatedProducer {
  private readonly broker: Broker;
  private readonly host: Host;
  private readonly id: string;
  private readonly timeoutMs: number;
  private who: ProducerIdentity | null = null;
  /** As librdkafka keeps it: begun, and not known to have ended. */
  private begun = false;

  constructor(broker: Broker, host: Host, settings: ClientSettings) {
    this.broker = broker;
    this.host = host;
    this.id = String(settings['transactional.id']);
    this.timeoutMs = Number(settings['transaction.timeout.ms']);
  }

  connect(): Promise<void> {
    return this.host.time.sleep(1);
  }

  async initTransactions(deadlineMs: number): Promise<void> {
    this.who = await this.ask('init', deadlineMs, () =>
      this.broker.transactions.init(this.id, this.timeoutMs),
    );
  }

  /** Local in librdkafka; a place to die. */
  async begin(): Promise<void> {
    if (this.begun) throw brokerErrors.erroneousState('a transaction is open');
    await this.ask('begin', 2_000, () => undefined);
    this.begun = true;
  }

  async produce(writes: readonly Write[], deadlineMs: number): Promise<void> {
    if (writes.length === 0) return;
    await this.ask('produce', deadlineMs, () => this.broker.transactions.add(this.own(), writes));
  }

  /** The group's metadata is read when this is called, not when the records were taken (rule 4). */
  sendOffsets(
    offsets: readonly PartitionOffset[],
    consumer: SimulatedConsumer,
    deadlineMs: number,
  ): Promise<unknown> {
    const member = consumer.member;
    const generation = member?.generation ?? -1;
    return this.ask('offsets', deadlineMs, () =>
      this.broker.transactions.addOffsets(
        this.own(),
        consumer.group,
        member?.id ?? null,
        generation,
        offsets,
      ),
    );
  }

  async commit(deadlineMs: number): Promise<void> {
    await this.ask('commit', deadlineMs, () =>
      this.broker.transactions.end(this.own(), 'committed'),
    );
    this.begun = false;
  }

  async abort(deadlineMs: number): Promise<void> {
    await this.ask('abort', deadlineMs, () => this.broker.transactions.end(this.own(), 'aborted'));
    this.begun = false;
  }

  disconnect(): Promise<void> {
    return this.host.time.sleep(1);
  }

  private own(): ProducerIdentity {
    if (this.who === null) throw brokerErrors.erroneousState('not initialised');
    return this.who;
  }

  private ask<T>(
    point: Request<T>['point'],
    deadlineMs: number,
    effect: () => T | typeof LATER,
  ): Promise<T> {
    return this.host.request({
      point,
      effect,
      deadlineMs,
      timedOut: () => brokerErrors.timedOut(point),
      refused: brokerErrors.mustAbort,
    });
  }
}
