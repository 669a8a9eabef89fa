import { asError, PipelineError } from '../../../schemas/error.js';
import type { Topic } from '../../../schemas/record.js';
import type { GlobalTable } from '../../../processors/processor.js';
import { changelogsOf, chainStages } from '../../runtime/chain-stages.js';
import { ChangelogReader } from '../../runtime/changelog-reader.js';
import type { KafkaClients } from '../../runtime/kafka-clients.js';
import { type Sink, SinkTask } from '../../runtime/sink-task.js';
import { Task } from '../../runtime/task.js';
import { DEFAULT_TIMING } from '../../runtime/transaction-session.js';
import { groupOf, transactionalIdOf } from '../../runtime/worker.js';
import type { Topology } from '../../topology.js';

export interface SimulatedWorkerOptions<Ports extends object> {
  readonly slot: number;
  readonly clients: KafkaClients;
  readonly topologies: readonly Topology<Ports>[];
  readonly ports: Ports;
  readonly sink: Sink<never>;
  readonly table: (topic: Topic<unknown>) => GlobalTable<unknown>;
  readonly maxBatch: number;
  readonly tell: (line: string) => void;
}

/** One worker process as worker.ts puts it together, over simulated clients: the tasks are the real ones. */
export class SimulatedWorker<Ports extends object> {
  readonly tasks: readonly Task[];
  readonly sink: SinkTask<never>;
  private readonly running: readonly { run(): Promise<void>; stop(): void }[];

  constructor(options: SimulatedWorkerOptions<Ports>) {
    const { slot, clients, tell } = options;
    const client = {};
    const reader = new ChangelogReader(client, 'restore', clients);
    this.tasks = options.topologies.flatMap((topology) =>
      topology.tasks.map((stages, index) => {
        const name = index === 0 ? topology.name : `${topology.name}.${index.toString()}`;
        return new Task({
          name,
          stages: chainStages(stages, options.ports, options.table),
          changelogs: changelogsOf(stages),
          deadLetters: 'dead-letters',
          reader,
          prepare: () => Promise.resolve(),
          now: Date.now,
          metrics: SILENT,
          maxBatch: options.maxBatch,
          maxInFlight: 100,
          session: {
            client,
            clients,
            groupId: groupOf('', name),
            transactionalId: transactionalIdOf('', name, slot),
            groupProtocol: 'classic',
            timing: DEFAULT_TIMING,
          },
          onEvent: (event) => {
            if (event.kind === 'assigned' || event.kind === 'revoked') {
              const partitions = event.partitions.map((one) => `${one.topic}/${one.partition}`);
              tell(`${name} ${event.kind}: ${partitions.join(' ')}`);
            } else
              tell(`${name} ${event.kind}${'error' in event ? `: ${event.error.message}` : ''}`);
          },
        });
      }),
    );
    this.sink = new SinkTask(options.sink, {
      client,
      clients,
      groupId: groupOf('', 'settle'),
      groupProtocol: 'classic',
      timing: DEFAULT_TIMING,
      maxBatch: options.maxBatch,
      lingerMs: 0,
      prepare: () => Promise.resolve(),
      metrics: { written: () => undefined },
      onEvent: (event) => {
        if (event.kind === 'lost') tell('settle: another owner moved these offsets');
      },
    });
    this.running = [...this.tasks, this.sink];
  }

  /** Resolves once everything has left its group. @throws what a task stops with */
  async run(): Promise<void> {
    await Promise.all(
      this.running.map((one) =>
        one.run().catch((thrown: unknown) => {
          this.stop();
          throw thrown;
        }),
      ),
    );
  }

  stop(): void {
    for (const one of this.running) one.stop();
  }
}

/** A worker may end so by itself where Kafka does not answer at its start; its supervisor starts it again. */
export const mayStopFor = (error: unknown): boolean =>
  error instanceof PipelineError && error.code === 'kafka_unavailable';

export const reasonOf = (error: unknown): string => asError(error).stack ?? asError(error).message;

const SILENT = {
  recordsIn: () => undefined,
  recordsOut: () => undefined,
  deadLetters: () => undefined,
  custom: () => undefined,
  transaction: () => undefined,
  queueAge: () => undefined,
  inFlight: () => undefined,
};
