import type { Contract, Processor } from '../../processors/processor.js';
import { PipelineError } from '../../schemas/error.js';
import type { Codec } from '../../schemas/record.js';
import { type AnyStage, type Stage, stage } from '../topology.js';
import { changelogsOf, chainStages } from '../runtime/chain-stages.js';
import type { ChangelogReader } from '../runtime/changelog-reader.js';
import type { ClientSettings } from '../runtime/rdkafka-client.js';
import { Task, type TaskEvent, type TaskOptions } from '../runtime/task.js';
import type { TopicLimits } from '../runtime/topic-limits.js';
import {
  DEFAULT_TIMING,
  type GroupProtocol,
  type SessionEvent,
} from '../runtime/transaction-session.js';
import { textCodec, textTopic } from './text-topic.js';

/** A word, or `word@due`: not to be counted before. */
export interface Word {
  readonly text: string;
  readonly dueAt: number | null;
}
const wordCodec: Codec<Word> = {
  encode: ({ text, dueAt }) => Buffer.from(dueAt === null ? text : `${text}@${dueAt.toString()}`),
  decode: (bytes) => {
    const [text = '', due] = bytes.toString().split('@');
    if (text === 'unreadable') throw new PipelineError('undecodable', 'no word');
    return { text, dueAt: due === undefined ? null : Number(due) };
  },
};

export interface Counting extends Contract {
  readonly from: { readonly words: Word };
  readonly to: { readonly counts: string };
  readonly state: { readonly seen: string };
  readonly ports: { readonly ask: () => Promise<void> };
  readonly fact: string;
}

/** Emits each word with the partition and how often it has been seen there: repeated or lost work shows. */
const counting: Processor<Counting> = {
  name: 'counting',
  gather: async (batch, { ask }) => {
    await ask();
    return batch.map(() => '');
  },
  decide: ({ at, value: { text } }, _fact, { state }) => {
    if (text === 'poison') throw new Error('cannot decide this');
    const times = (Number(state.seen.get(text) ?? '0') + 1).toString();
    return {
      emit: [{ to: 'counts', value: `${text}:${at.partition.toString()}:${times}` }],
      put: [{ to: 'seen', key: text, value: times }],
    };
  },
};

export interface CountingTopics {
  readonly words: string;
  readonly counts: string;
  readonly seen: string;
  readonly dead: string;
}

export const countingTopics = (prefix: string): CountingTopics => ({
  words: `${prefix}words`,
  counts: `${prefix}counts`,
  seen: `${prefix}seen`,
  dead: `${prefix}dead`,
});

export const countingStages = (
  topics: CountingTopics,
  takeOver?: Processor<Counting>['takeOver'],
): [Stage<Counting['ports']>] => [
  stage(takeOver === undefined ? counting : { ...counting, takeOver }, {
    from: { words: { name: topics.words, codec: wordCodec } },
    to: { counts: textTopic(topics.counts) },
    state: { seen: { name: topics.seen, codec: textCodec } },
  }),
];

export interface TestTaskOptions {
  readonly client: ClientSettings;
  readonly groupId: string;
  readonly slot: number;
  readonly deadLetters: string;
  readonly reader: ChangelogReader;
  readonly protocol?: GroupProtocol;
  readonly timing?: Partial<typeof DEFAULT_TIMING>;
  readonly maxBatch?: number;
  readonly rest?: number;
  readonly pace?: number;
  /** Told of each transaction that ended. */
  readonly onTransaction?: () => void;
  readonly limits?: TopicLimits;
  readonly onEvent?: (event: SessionEvent | TaskEvent) => void;
}

const silent = (): undefined => undefined;

/** A task over any stages, without metrics. */
export const testTask = (
  stages: readonly AnyStage[],
  ports: object,
  options: TestTaskOptions,
): Task => {
  const settings: TaskOptions = {
    name: options.groupId,
    stages: chainStages(stages, ports, () => new Map()),
    changelogs: changelogsOf(stages),
    deadLetters: options.deadLetters,
    ...(options.limits && { limits: options.limits }),
    reader: options.reader,
    prepare: () => Promise.resolve(),
    now: Date.now,
    maxBatch: options.maxBatch ?? 500,
    maxInFlight: 1_000,
    rest: options.rest ?? 0,
    pace: options.pace ?? 0,
    onEvent: options.onEvent ?? silent,
    metrics: {
      recordsIn: silent,
      recordsOut: silent,
      deadLetters: silent,
      custom: silent,
      transaction: options.onTransaction ?? silent,
      queueAge: silent,
      inFlight: silent,
    },
    session: {
      client: options.client,
      groupId: options.groupId,
      transactionalId: `${options.groupId}.${options.slot.toString()}`,
      groupProtocol: options.protocol ?? 'classic',
      timing: { ...DEFAULT_TIMING, ...options.timing },
    },
  };
  return new Task(settings);
};
