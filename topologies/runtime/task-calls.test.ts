import { afterAll, expect, test } from 'vitest';
import type { Caller, Contract } from '../../processors/processor.js';
import { type TestTaskOptions, testTask } from '../testing/counting.js';
import { TestKafka, eventually } from '../testing/kafka.js';
import { textTopic } from '../testing/text-topic.js';
import { stage } from '../topology.js';
import { ChangelogReader } from './changelog-reader.js';
import type { Task } from './task.js';

interface Ring extends Contract {
  readonly from: { readonly numbers: string };
  readonly to: { readonly rung: string };
  readonly state: { readonly open: string };
  readonly ports: { readonly phone: Phone };
  readonly call: { readonly number: string };
  readonly answer: { readonly said: string };
}

/** Nobody answers before the test says so. */
class Phone {
  readonly ringing: string[] = [];
  private readonly waiting: (() => void)[] = [];
  private answering = false;

  async ring(): Promise<void> {
    if (!this.answering) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  answer(): void {
    this.answering = true;
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

/** Claims, calls, completes; what a former owner left open is unknown; what comes too late is told. */
const ring: Caller<Ring> = {
  name: 'ring',
  gather: null,
  decide: ({ value: number }) => ({
    put: [{ to: 'open', key: number, value: number }],
    call: [{ number }],
  }),
  perform: async function* (calls, { phone }) {
    phone.ringing.push(...calls.map(({ number }) => number));
    await phone.ring();
    for (const call of calls) yield { call, said: 'hello' };
  },
  answered: (answer, { state }) => {
    const { number } = (answer as typeof answer & { call: Ring['call'] }).call;
    if (state.open.get(number) === undefined) return {};
    return {
      emit: [{ to: 'rung', key: number, value: `answered ${number}` }],
      put: [{ to: 'open', key: number, value: null }],
    };
  },
  late: (answer) => {
    const { number } = (answer as typeof answer & { call: Ring['call'] }).call;
    return { emit: [{ to: 'rung', key: number, value: `late ${number}` }] };
  },
  restored: ({ state }) => {
    const open = [...state.open.entries()].map(([number]) => number);
    return {
      emit: open.map((number) => ({ to: 'rung', key: number, value: `unknown ${number}` })),
      put: open.map((number) => ({ to: 'open', key: number, value: null })),
    };
  },
};

const kafka = new TestKafka();
const PARTITIONS = 4;
const reader = new ChangelogReader(kafka.client, `${kafka.prefix}restore`);
const running: { task: Task; done: Promise<void> }[] = [];
let scenes = 0;

const scene = async () => {
  scenes += 1;
  const name = (topic: string) => `${kafka.prefix}${scenes.toString()}.${topic}`;
  const [numbers, rung, open] = [name('numbers'), name('rung'), name('open')] as const;
  await kafka.topics(PARTITIONS, [numbers, rung, open, name('dead')]);
  const stages = [
    stage(ring, {
      from: { numbers: textTopic(numbers) },
      to: { rung: textTopic(rung) },
      state: { open: textTopic(open) },
    }),
  ];
  const every = (topic: string) =>
    Array.from({ length: PARTITIONS }, (_, partition) => ({ topic, partition }));
  const read = async (topic: string): Promise<string[]> =>
    (await kafka.read(every(topic))).map(({ value }) => value?.toString() ?? '-').sort();
  return {
    start: (slot: number, phone: Phone, options: Partial<TestTaskOptions> = {}): Task => {
      const task = testTask(
        stages,
        { phone },
        {
          client: kafka.client,
          groupId: name('group'),
          slot,
          deadLetters: name('dead'),
          reader,
          ...options,
        },
      );
      running.push({ task, done: task.run() });
      return task;
    },
    /** One number a partition, named by it. */
    write: () =>
      kafka.write(
        every(numbers).map((at) => ({
          ...at,
          key: 'k',
          value: Buffer.from(`n${at.partition.toString()}`),
        })),
      ),
    rung: () => read(rung),
    claims: () => read(open),
  };
};
const stopAll = async (): Promise<void> => {
  const all = running.splice(0);
  for (const { task } of all) task.stop();
  await Promise.all(all.map(({ done }) => done));
};
afterAll(async () => {
  await stopAll();
  await reader.close();
  await kafka.close();
});

test('a call is made only once its claim is committed, and its answer closes the claim', async () => {
  const { start, write, rung, claims } = await scene();
  const phone = new Phone();
  start(0, phone);
  await write();
  await eventually('a call', () => phone.ringing.length > 0);
  const committed = await claims();
  for (const number of phone.ringing.slice(0, 1)) expect(committed).toContain(number);
  await eventually('all calls', () => phone.ringing.length === PARTITIONS);
  expect(await rung()).toEqual([]);
  phone.answer();
  await eventually('answers', async () => (await rung()).length === PARTITIONS);
  expect((await claims()).filter((value) => value === '-')).toHaveLength(PARTITIONS);
  await stopAll();
});

test('rule 7: answers that come while partitions are being revoked are written by who asked', async () => {
  const { start, write, rung } = await scene();
  const phone = new Phone();
  const one = start(0, phone);
  await write();
  await eventually('all calls', () => phone.ringing.length === PARTITIONS);
  const two = start(1, new Phone());
  const finish = one.finish.bind(one);
  one.finish = async (partitions) => {
    // Not before it has begun to wait for them.
    setTimeout(() => {
      phone.answer();
    }, 200);
    await finish(partitions);
  };
  await eventually('two each', () => one.partitions.length === 2 && two.partitions.length === 2);
  await eventually('answers', async () => (await rung()).length === PARTITIONS);
  expect(await rung()).toEqual(['answered n0', 'answered n1', 'answered n2', 'answered n3']);
  await stopAll();
});

test('rule 4: an answer that comes after its partition has gone is told as late, never as an outcome', async () => {
  const { start, write, rung } = await scene();
  const phone = new Phone();
  const timing = { revokeBoundMs: 1_000 };
  const one = start(0, phone, { timing });
  await write();
  await eventually('all calls', () => phone.ringing.length === PARTITIONS);
  const two = start(1, new Phone(), { timing });
  await eventually('what was left open is unknown', async () => (await rung()).length === 2);
  const gone = two.partitions.map(({ partition }) => `n${partition.toString()}`);
  const kept = one.partitions.map(({ partition }) => `n${partition.toString()}`);
  expect(await rung()).toEqual(gone.map((number) => `unknown ${number}`).sort());
  phone.answer();
  await eventually('every answer', async () => (await rung()).length === 6);
  expect(await rung()).toEqual(
    [
      ...gone.flatMap((number) => [`unknown ${number}`, `late ${number}`]),
      ...kept.map((number) => `answered ${number}`),
    ].sort(),
  );
  await stopAll();
});

test('stopping waits for calls under way, and writes their answers before it leaves', async () => {
  const { start, write, rung } = await scene();
  const phone = new Phone();
  const task = start(0, phone);
  await write();
  await eventually('all calls', () => phone.ringing.length === PARTITIONS);
  task.stop();
  phone.answer();
  await stopAll();
  expect(await rung()).toEqual(['answered n0', 'answered n1', 'answered n2', 'answered n3']);
});
