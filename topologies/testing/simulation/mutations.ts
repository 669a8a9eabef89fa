import { ChangelogReader } from '../../runtime/changelog-reader.js';
import type { KafkaClients } from '../../runtime/kafka-clients.js';
import { type TopicPartition, partitionId } from '../../runtime/raw-record.js';
import type { ConsumerClient, PartitionOffset } from '../../runtime/rdkafka-client.js';
import { StagedStore } from '../../runtime/state-store.js';
import { Task } from '../../runtime/task.js';
import { type Batch, TransactionSession } from '../../runtime/transaction-session.js';
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

type Settings = Parameters<KafkaClients['producer']>[0];

const producing = (
  change: (producer: ReturnType<KafkaClients['producer']>) => void,
  settings: (given: Settings) => Settings = (given) => given,
): SimulationOptions => ({
  wrap: (clients) => ({
    consumer: (...args) => clients.consumer(...args),
    producer: (given) => {
      const producer = clients.producer(settings(given));
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
  unfencedAnswers: {
    rule: 3,
    what: 'a transaction that finishes no record sends no offset',
    patches: [
      {
        of: TransactionSession.prototype,
        method: 'sendOffsets',
        by: (original) =>
          function (this: TransactionSession, offsets: readonly PartitionOffset[]) {
            const moved = offsets.filter(
              (one) => this['assignment'].position(partitionId(one))?.offset !== one.offset,
            );
            return original.call(this, moved as never);
          },
      },
    ],
  },
  oldBatches: {
    rule: 4,
    what: 'work that was taken before its partition was given up enters a transaction',
    patches: [instead(TransactionSession.prototype, 'stillOurs', () => true)],
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
  restoresTooEarly: {
    rule: 6,
    what: 'a restore reads to the last stable offset, and does not wait for transactions that are open',
    patches: [
      instead(
        ChangelogReader.prototype,
        'stableEnd',
        async function (this: ChangelogReader, partition: TopicPartition) {
          await this['connect']();
          return (await this['committed'].watermarks(partition, 5_000)).high;
        },
      ),
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
  keepsItsProducer: {
    rule: 8,
    what: 'after an unclear answer the same producer goes on',
    patches: [instead(TransactionSession.prototype, 'renewProducer', () => Promise.resolve())],
  },
  believesOffsets: {
    rule: 8,
    what: 'offsets are taken for our own commit’s, and the group is not asked whether we are still its member',
    patches: [instead(TransactionSession.prototype, 'stillMember', () => Promise.resolve('yes'))],
  },
  skipsWhatWaits: {
    rule: 9,
    what: 'a batch whose dependency was away is not read again',
    patches: [instead(Task.prototype, 'waitFor', () => Promise.resolve())],
  },
  idsOfTheMoment: {
    rule: 10,
    what: 'each producer has a transactional id of its own',
    options: producing(
      () => undefined,
      (given) => ({
        ...given,
        'transactional.id': `${String(given['transactional.id'])}-${Date.now().toString()}`,
      }),
    ),
  },
  endlessTransactions: {
    rule: 11,
    what: 'transactions time out after 15 minutes',
    options: producing(
      () => undefined,
      (given) => ({ ...given, 'transaction.timeout.ms': 900_000 }),
    ),
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
  reservesUnowned: {
    rule: 18,
    what: 'the ledger reserves for whoever asks',
    options: { owners: false },
  },
  takesWithoutAsking: {
    rule: 18,
    what: 'partitions are taken over in the ledger, and the group is not asked whether they are ours',
    patches: [
      {
        of: Task.prototype,
        method: 'takeOver',
        by: (original) =>
          async function (this: Task, ...args: never[]) {
            const session = this['session'];
            Object.assign(session, { commit: () => Promise.resolve('committed') });
            try {
              return await original.apply(this, args);
            } finally {
              Reflect.deleteProperty(session, 'commit');
            }
          },
      },
    ],
  },
  takesOnce: {
    rule: 18,
    what: 'after a request without an answer the partitions are not taken over again',
    patches: [
      {
        of: Task.prototype,
        method: 'takeOver',
        by: (original) => {
          const taken = new WeakMap<Task, Map<string, number>>();
          return async function (this: Task, ...args: never[]) {
            const [{ epochs }] = args as unknown as readonly [Batch];
            const before = taken.get(this) ?? new Map<string, number>();
            taken.set(this, before);
            if ([...epochs].every(([id, epoch]) => before.get(id) === epoch)) return true;
            const ours = await original.apply(this, args);
            if (ours === true) for (const [id, epoch] of epochs) before.set(id, epoch);
            return ours;
          };
        },
      },
    ],
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
