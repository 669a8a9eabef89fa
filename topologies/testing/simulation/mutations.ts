import type { KafkaClients } from '../../runtime/kafka-clients.js';
import type { ConsumerClient, PartitionOffset } from '../../runtime/rdkafka-client.js';
import { StagedStore } from '../../runtime/state-store.js';
import { Task } from '../../runtime/task.js';
import { TransactionSession } from '../../runtime/transaction-session.js';
import { type SimulationOptions, type SimulationResult, simulate } from './simulation.js';
import type { Plan } from './plan.js';

/** A rule of docs/effectively-once.md, broken on purpose. Here only: the product has no such switches. */
export interface Mutation {
  /** Of the rules' numbers; null: another promise of that page. */
  readonly rule: number | null;
  readonly what: string;
  readonly options?: SimulationOptions;
  readonly patches?: readonly Patch[];
}

interface Patch {
  readonly of: object;
  readonly method: string;
  readonly by: (original: (...args: never[]) => unknown) => (...args: never[]) => unknown;
}

const instead = (of: object, method: string, run: (...args: never[]) => unknown): Patch => ({
  of,
  method,
  by: () => run,
});

const producing = (
  change: (producer: ReturnType<KafkaClients['producer']>) => void,
  settings: Record<string, number> = {},
): SimulationOptions => ({
  wrap: (clients) => ({
    consumer: (...args) => clients.consumer(...args),
    producer: (given) => {
      const producer = clients.producer({ ...given, ...settings });
      change(producer);
      return producer;
    },
  }),
});

export const MUTATIONS = {
  ownOffset: {
    rule: 1,
    what: 'the last record’s own offset is committed',
    options: producing((producer) => {
      const send = producer.sendOffsets.bind(producer);
      producer.sendOffsets = (
        offsets: readonly PartitionOffset[],
        consumer: ConsumerClient,
        deadlineMs: number,
      ) =>
        send(
          offsets.map((one) => ({ ...one, offset: Math.max(0, one.offset - 1) })),
          consumer,
          deadlineMs,
        );
    }),
  },
  noRewind: {
    rule: 2,
    what: 'after an abort nothing is sought: reading goes on behind the batch',
    patches: [
      instead(TransactionSession.prototype, 'rewind', async function (this: TransactionSession) {
        await this['drainFetch'](() => false);
      }),
    ],
  },
  keepsStaged: {
    rule: 5,
    what: 'an abort keeps what was staged',
    patches: [
      instead(StagedStore.prototype, 'drop', function (this: StagedStore<unknown>) {
        this.apply();
      }),
    ],
  },
  noRestoreWhereUnclear: {
    rule: 5,
    what: 'after an unclear commit of answers alone, the state in memory is kept',
    patches: [
      {
        of: TransactionSession.prototype,
        method: 'unclear',
        by: (original) =>
          async function (this: TransactionSession, ...args: never[]) {
            const { restore } = this['owner'];
            Object.assign(this['owner'], { restore: () => Promise.resolve() });
            try {
              return await original.apply(this, args);
            } finally {
              Object.assign(this['owner'], { restore });
            }
          },
      },
    ],
  },
  givesUpAtOnce: {
    rule: 7,
    what: 'revoked partitions are given up with their calls under way',
    patches: [instead(Task.prototype, 'finish', () => Promise.resolve())],
  },
  unclearIsAborted: {
    rule: 8,
    what: 'an unclear commit is taken for an abort, and nobody is asked',
    patches: [
      instead(TransactionSession.prototype, 'unclear', async function (this: TransactionSession) {
        await this['renewProducer']();
        return this['rewound']();
      }),
    ],
  },
  skipsWhatWaits: {
    rule: 9,
    what: 'a batch whose dependency was away is not read again',
    patches: [instead(Task.prototype, 'waitFor', () => Promise.resolve())],
  },
  endlessTransactions: {
    rule: 11,
    what: 'transactions time out after 15 minutes',
    options: producing(() => undefined, { 'transaction.timeout.ms': 900_000 }),
  },
  neverResumed: {
    rule: 16,
    what: 'partitions that were paused for a record that is not due are not resumed',
    patches: [instead(TransactionSession.prototype, 'resumeDue', () => undefined)],
  },
  lagByPosition: {
    rule: 17,
    what: 'lag forgets that the end was reached',
    patches: [instead(TransactionSession.prototype, 'eof', () => 0)],
  },
  paysTwiceForRedis: {
    rule: null,
    what: 'a record that has paid is refused where Redis names another as the first',
    options: { payersFirst: false },
  },
} as const satisfies Readonly<Record<string, Mutation>>;

export type MutationName = keyof typeof MUTATIONS;

/** Runs a plan with a rule broken; everything is whole again afterwards. */
export const simulateBroken = async (
  plan: Plan,
  { patches = [], options = {} }: Mutation,
  more: SimulationOptions = {},
): Promise<SimulationResult> => {
  const undo: (() => void)[] = [];
  for (const { of, method, by } of patches) {
    const target = of as Record<string, unknown>;
    const original = target[method];
    if (typeof original !== 'function') throw new Error(`${method} is gone: mend its mutation`);
    target[method] = by(original as (...args: never[]) => unknown);
    undo.push(() => {
      target[method] = original;
    });
  }
  try {
    return await simulate(plan, { ...options, ...more });
  } finally {
    for (const one of undo) one();
  }
};
