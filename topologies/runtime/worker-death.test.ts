import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { projectRoot } from '../../schemas/root.js';
import { countingTopics } from '../testing/counting.js';
import { TestKafka, eventually } from '../testing/kafka.js';
import type { GroupProtocol } from './transaction-session.js';

/*
 * Whole processes that die or stand still in the middle of transactions. Slow by nature: a group notices after its
 * session time-out of 6 s, a transaction ends after 5 s; so the scenes run beside each other.
 */
const kafka = new TestKafka();
const PARTITIONS = 4;
const DEADLINE_MS = 60_000;
const script = path.join(projectRoot(), 'dist', 'topologies', 'testing', 'counting-process.js');
const children = new Set<ChildProcess>();
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await kafka.close();
});

const scene = async (name: string, protocol: GroupProtocol) => {
  if (!existsSync(script)) throw new Error(`${script} is not there: npm run build`);
  const prefix = `${kafka.prefix}${name}.`;
  const topics = countingTopics(prefix);
  await kafka.topics(PARTITIONS, Object.values(topics));
  const counts = Array.from({ length: PARTITIONS }, (_, partition) => ({
    topic: topics.counts,
    partition,
  }));
  let written = 0;
  return {
    worker: (slot: number): ChildProcess => {
      const child = spawn(
        process.execPath,
        [script, kafka.brokers, prefix, `${prefix}group`, slot.toString(), protocol],
        {
          stdio: ['ignore', 'inherit', 'inherit'],
          env: { ...process.env, UV_THREADPOOL_SIZE: '16' },
        },
      );
      children.add(child);
      child.once('exit', () => children.delete(child));
      return child;
    },
    /** The same ten words on every partition: a repeated or lost one shows in the counts. */
    write: async (each: number): Promise<void> => {
      for (let partition = 0; partition < PARTITIONS; partition++)
        await kafka.write(
          Array.from({ length: each }, (_, i) => ({
            topic: topics.words,
            partition,
            key: `k${i.toString()}`,
            value: Buffer.from(`w${(i % 10).toString()}`),
          })),
        );
      written += each * PARTITIONS;
    },
    /** What a read_committed reader sees at this moment, while workers die: never one output twice. */
    seen: async (): Promise<number> => {
      const all = (await kafka.read(counts)).map(({ value }) => value?.toString() ?? '');
      expect(new Set(all).size).toBe(all.length);
      return all.length;
    },
    expected: (): number => written,
  };
};
const gone = (child: ChildProcess): Promise<number | null> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve(child.exitCode);
    else child.once('exit', resolve);
  });

test.concurrent.each(['classic', 'consumer'] as const)(
  'a worker of a %s group that is killed costs nothing: the other completes, each output once',
  async (protocol) => {
    const { worker, write, seen, expected } = await scene(`kill-${protocol}`, protocol);
    await write(250);
    const victim = worker(0);
    const other = worker(1);
    await eventually('some work', async () => (await seen()) >= 100, DEADLINE_MS);
    victim.kill('SIGKILL');
    await gone(victim);
    await write(50);
    await eventually('all work', async () => (await seen()) === expected(), DEADLINE_MS);
    other.kill('SIGTERM');
    expect(await gone(other)).toBe(0);
    expect(await seen()).toBe(expected());
  },
  DEADLINE_MS * 2,
);

test.concurrent(
  'a worker that stood still past its session writes nothing of its old work when it wakes up',
  async () => {
    const { worker, write, seen, expected } = await scene('stop', 'classic');
    await write(250);
    const sleeper = worker(0);
    await eventually('some work', async () => (await seen()) >= 40, DEADLINE_MS);
    sleeper.kill('SIGSTOP');
    const other = worker(1);
    await write(50);
    await eventually('all work', async () => (await seen()) === expected(), DEADLINE_MS);
    sleeper.kill('SIGCONT');
    await write(50);
    await eventually('work of both', async () => (await seen()) === expected(), DEADLINE_MS);
    sleeper.kill('SIGTERM');
    other.kill('SIGTERM');
    expect(await Promise.all([gone(sleeper), gone(other)])).toEqual([0, 0]);
    expect(await seen()).toBe(expected());
  },
  DEADLINE_MS * 2,
);
