import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { lockSlots } from '../../sinks/postgres/slot-lock.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import { ProducerClient } from '../../topologies/runtime/rdkafka-client.js';
import { readRange } from '../../topologies/runtime/range-reader.js';
import { transactionalIdOf } from '../../topologies/runtime/worker.js';
import { toJson } from '../cli/cli.js';
import { commandLine } from '../testing/command-line.js';
import type { ScratchInstallation } from '../testing/scratch-installation.js';
import { scratchInstallation } from '../testing/scratch-installation.js';
import { describeFound } from './describe.js';
import type { OpenTransaction } from './describe.js';

let own: ScratchInstallation;
let millrace: ReturnType<typeof commandLine>;
const producers: ProducerClient[] = [];

beforeAll(async () => {
  own = await scratchInstallation(({ name }, names) => name === names.feedback);
  millrace = commandLine(own.variables);
});
afterEach(async () => {
  for (const one of producers.splice(0)) {
    await one.abort(10_000).catch(() => undefined);
    await one.disconnect(5_000);
  }
});
afterAll(async () => {
  await own.remove();
});

/** A producer that has written one record in a transaction, and does not go on. */
const stopped = async (transactionalId: string, partition = 0): Promise<ProducerClient> => {
  const producer = new ProducerClient({
    ...rdkafkaConnection(own.kafka),
    'transactional.id': transactionalId,
    'transaction.timeout.ms': 120_000,
  });
  producers.push(producer);
  await producer.connect(5_000);
  await producer.initTransactions(15_000);
  await producer.begin();
  await write(producer, partition);
  return producer;
};
const write = async (producer: ProducerClient, partition: number): Promise<void> => {
  await producer.produce(
    [{ topic: own.names.feedback, partition, key: 'k', value: Buffer.from('v') }],
    5_000,
  );
  await producer.flush(10_000);
};
const listed = async (): Promise<readonly OpenTransaction[]> => {
  const { json, err } = await millrace('transactions', '--json');
  expect(err).toBe('');
  return json() as readonly OpenTransaction[];
};
/** Until a condition holds: the coordinator writes markers after it has answered. */
const until = async <T>(ask: () => Promise<T>, holds: (answer: T) => boolean): Promise<T> => {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const answer = await ask();
    if (holds(answer)) return answer;
    if (Date.now() > deadline) throw new Error(`never: ${toJson(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
};
/** Whether a read_committed reader gets to the end. */
const readable = async (): Promise<number> => {
  let count = 0;
  for await (const batch of readRange({
    settings: rdkafkaConnection(own.kafka),
    topics: [own.names.feedback],
    to: 'high',
    deadlineMs: 20_000,
  }))
    count += batch.length;
  return count;
};

describe('an open transaction', () => {
  test('of a task is listed with its partition, its first offset, its owner and the command that ends it', async () => {
    const id = transactionalIdOf(own.kafka.prefix, 'send.p1.1', 3);
    await stopped(id);
    const [found, ...others] = await listed();
    expect(others).toEqual([]);
    expect(found).toMatchObject({
      kind: 'coordinated',
      transactionalId: id,
      state: 'Ongoing',
      owner: { kind: 'task', task: 'send.p1.1', slot: 3, held: false },
      timeoutMs: 120_000,
      overdue: false,
      partitions: [{ topic: own.names.feedback, partition: 0 }],
      endedBy: [`millrace transactions abort --id ${id} --reason "..."`],
    });
    expect(found?.partitions[0]?.startOffset).not.toBeNull();
    const { out } = await millrace('transactions');
    expect(out).toContain('no worker holds it');
    expect(out).toContain('1 open, 0 of them overdue');
  });

  test('is only shown by abort, and ended by abort --apply, which is recorded; readers then get past it', async () => {
    const id = transactionalIdOf(own.kafka.prefix, 'send.p1', 0);
    await until(listed, (all) => all.length === 0);
    await stopped(id);
    const shown = await millrace('transactions', 'abort', '--id', id);
    expect(shown).toMatchObject({ code: 0 });
    expect(shown.out).toContain('would abort');
    expect((await listed()).map((one) => one.transactionalId)).toContain(id);

    const done = await millrace(
      'transactions',
      'abort',
      '--id',
      id,
      '--reason',
      'it is ours',
      '--apply',
    );
    expect(done).toMatchObject({ code: 0, err: '' });
    await until(listed, (all) => all.every((one) => one.transactionalId !== id));
    expect(await readable()).toBe(0);
    const actions = (await millrace('actions', '--json')).json() as readonly object[];
    expect(actions[0]).toMatchObject({
      command: 'transactions abort',
      reason: 'it is ours',
      state: 'done',
      what: { way: 'fence', transactionalId: id, state: 'Ongoing' },
      outcome: { ended: true },
    });
    expect((await millrace('transactions', 'abort', '--id', id)).code).toBe(1);
  });

  test('of a slot that a live worker holds is not aborted without --force', async () => {
    const id = transactionalIdOf(own.kafka.prefix, 'settle', 7);
    await stopped(id);
    const lock = await lockSlots(String(own.variables['DATABASE_URL']), [id], () => undefined);
    try {
      const found = (await listed()).find((one) => one.transactionalId === id);
      expect(found?.owner).toMatchObject({ held: true });
      const refused = await millrace(
        'transactions',
        'abort',
        '--id',
        id,
        '--reason',
        'x',
        '--apply',
      );
      expect(refused.code).toBe(1);
      expect(refused.err).toContain('a live worker holds');
      const forced = await millrace(
        'transactions',
        'abort',
        '--id',
        id,
        '--reason',
        'x',
        '--apply',
        '--force',
      );
      expect(forced).toMatchObject({ code: 0, err: '' });
    } finally {
      await lock.release();
    }
  });

  test('of a foreign producer on our topics is listed as such, and is not aborted without --force', async () => {
    const id = `foreign-${own.kafka.prefix}x`;
    await stopped(id, 1);
    const found = (await listed()).find((one) => one.transactionalId === id);
    expect(found?.owner).toEqual({ kind: 'other' });
    const refused = await millrace('transactions', 'abort', '--id', id);
    expect(refused.code).toBe(1);
    expect(refused.err).toContain('--force');
  });

  test('that its coordinator knows is not ended by a marker', async () => {
    const id = transactionalIdOf(own.kafka.prefix, 'intake.p0', 0);
    await stopped(id, 1);
    const found = (await listed()).find((one) => one.transactionalId === id);
    const start = found?.partitions[0]?.startOffset;
    const at = `${own.names.feedback}/1/${String(start)}`;
    const refused = await millrace('transactions', 'abort', '--at', at);
    expect(refused.code).toBe(1);
    expect(refused.err).toContain(`abort --id ${id}`);
  });
});

// One whose markers its coordinator cannot write stays with it until its broker is restarted: scripts/runbooks/kafka.test.ts
// has a broker of its own for that.

describe('what the brokers say', () => {
  const open = {
    topic: 't',
    partition: 1,
    producerId: 7n,
    producerEpoch: 2,
    lastTimestamp: 1_000,
    coordinatorEpoch: 0,
    startOffset: 55n,
  };

  test('a transaction that no coordinator knows is hanging, overdue, and ended by place', () => {
    expect(describeFound({ kind: 'hanging', open: [open] }, '', new Set(), 61_000)).toMatchObject({
      kind: 'hanging',
      transactionalId: null,
      ageMs: 60_000,
      overdue: true,
      endedBy: ['millrace transactions abort --at t/1/55 --reason "..."'],
    });
  });

  test.each([
    { state: 'Ongoing', ageMs: 5_000, overdue: false, commands: 1 },
    { state: 'Ongoing', ageMs: 90_000, overdue: true, commands: 1 },
    { state: 'PrepareAbort', ageMs: 1_000, overdue: false, commands: 0 },
    { state: 'PrepareAbort', ageMs: 90_000, overdue: true, commands: 1 },
    // Decided to be committed: no command of ours may undo it.
    { state: 'PrepareCommit', ageMs: 90_000, overdue: true, commands: 0 },
  ])('$state of $ageMs ms: overdue $overdue, $commands commands', (row) => {
    const shown = describeFound(
      {
        kind: 'coordinated',
        transaction: {
          code: 0,
          transactionalId: 'millrace.intake.p0.0',
          state: row.state,
          timeoutMs: 5_000,
          startedAt: 0,
          producerId: 7n,
          producerEpoch: 2,
          partitions: [{ topic: 't', partition: 1 }],
        },
        open: [open],
      },
      '',
      new Set(),
      row.ageMs,
    );
    expect([shown.overdue, shown.endedBy.length]).toEqual([row.overdue, row.commands]);
  });
});

test.each([
  { it: 'neither --id nor --at', args: [], code: 2, says: '--id or by --at' },
  { it: 'no reason', args: ['--id', 'x', '--apply'], code: 2, says: '--reason' },
  { it: 'an unknown topic', args: ['--at', 'nowhere/0/1'], code: 1, says: 'no topic nowhere' },
  { it: 'no place', args: ['--at', 'feedback'], code: 2, says: 'topic/partition/offset' },
])('abort with $it ends with $code and says what to do', async ({ args, code, says }) => {
  const said = await millrace('transactions', 'abort', ...args);
  expect(said.code).toBe(code);
  expect(said.err).toContain(says);
});
