import rdkafka from 'node-rdkafka';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PipelineError } from '../../schemas/error.js';
import { expelMembers } from '../testing/group-wire.js';
import { TestKafka, WITH_STATISTICS, eventually, produceRequests } from '../testing/kafka.js';
import { TestSession, type TestSessionOptions, unitOf } from '../testing/session.js';
import { Interrupted } from './abortable.js';
import { type Write, partitionId } from './raw-record.js';
import { ConsumerClient, type ProducerClient } from './rdkafka-client.js';
import type { GroupProtocol, TransactionSession } from './transaction-session.js';

const kafka = new TestKafka();
const PROTOCOLS: readonly GroupProtocol[] = ['classic', 'consumer'];
const PARTITIONS = 4;
let tests = 0;
const open: TestSession[] = [];

/** Topics and a group of a test's own. */
const scene = async () => {
  tests += 1;
  const [input, output] = [
    `${kafka.prefix}in${tests.toString()}`,
    `${kafka.prefix}out${tests.toString()}`,
  ] as const;
  await kafka.topics(PARTITIONS, [input, output]);
  const session = async (
    slot: number,
    protocol: GroupProtocol,
    options: Partial<TestSessionOptions> = {},
  ): Promise<TestSession> => {
    const made = new TestSession(kafka, {
      group: `group${input}`,
      slot,
      topics: [input],
      protocol,
      ...options,
    });
    open.push(made);
    await made.session.start();
    return made;
  };
  return {
    session,
    group: `${kafka.prefix}group${input}`,
    write: (texts: readonly string[], partition: number) =>
      kafka.write(
        texts.map((text) => ({ topic: input, partition, key: text, value: Buffer.from(text) })),
      ),
    outputs: (texts: readonly string[]): Write[] =>
      texts.map((text) => ({ topic: output, partition: 0, key: null, value: Buffer.from(text) })),
    seen: async (): Promise<string[]> =>
      (await kafka.read([{ topic: output, partition: 0 }])).map(
        ({ value }) => value?.toString() ?? '',
      ),
    p: (partition: number) => ({ topic: input, partition }),
  };
};

const texts = (records: readonly { readonly value: Buffer | null }[]): string[] =>
  records.map(({ value }) => value?.toString() ?? '');
/** More than the client lets into a message: produce fails, and with it the transaction. */
const tooLarge = (topic: string): Write => ({
  topic,
  partition: 0,
  key: null,
  value: Buffer.alloc(3_000_000),
});
const producerOf = (session: TransactionSession): ProducerClient => session['producer'];
const timedOut = (): Error =>
  Object.assign(new Error('commit: timed out'), { code: rdkafka.CODES.ERRORS.ERR__TIMED_OUT });
/** Stands between the session and its producer's commit. */
const answerCommits = (
  session: TransactionSession,
  commitTransaction: (timeoutMs: number, done: (error?: Error) => void) => void,
): void => {
  Object.assign(producerOf(session).native, { commitTransaction });
};
const closeAll = async (): Promise<void> => {
  await Promise.all(open.splice(0).map(({ session }) => session.close()));
};

const reader = new ConsumerClient({ ...kafka.client, 'group.id': `${kafka.prefix}offsets` });
beforeAll(() => reader.connect(10_000));
afterAll(async () => {
  await closeAll();
  await reader.disconnect(5_000);
  await kafka.close();
});

describe.each(PROTOCOLS)('a session of a %s group', (protocol) => {
  test('what was taken ahead and what came after it are one batch, in order', async () => {
    const { session, write } = await scene();
    await write(['a', 'b'], 0);
    const one = await session(0, protocol);
    const { records } = await one.collect(2);
    const asked: number[] = [];
    const answers = records.map((record) => [record]);
    const client = one.session['consumer'];
    const real = client.take.bind(client);
    Object.assign(client, {
      take: (max: number) => {
        asked.push(max);
        return Promise.resolve(answers.shift() ?? []);
      },
    });
    one.session.takeAhead(10);
    one.session.takeAhead(10);
    expect(texts((await one.take(10)).records)).toEqual(['a', 'b']);
    expect(asked).toEqual([10, 9]);
    Object.assign(client, { take: real });
    await closeAll();
  });

  test('what was taken ahead of an abort is read again, once', async () => {
    const { session, write, outputs, seen } = await scene();
    await write(['a', 'b'], 0);
    const one = await session(0, protocol);
    const first = await one.collect(2);
    await write(['c'], 0);
    one.session.takeAhead(10);
    expect(
      await one.session.commit(unitOf(first, [tooLarge(outputs(['x'])[0]?.topic ?? '')])),
    ).toBe('aborted');
    const again = await one.collect(3);
    expect(texts(again.records)).toEqual(['a', 'b', 'c']);
    expect(await one.session.commit(unitOf(again, outputs(['A', 'B', 'C'])))).toBe('committed');
    expect(await seen()).toEqual(['A', 'B', 'C']);
    await closeAll();
  });

  test('rule 2: an aborted batch is read again from the committed offset, first from the beginning', async () => {
    const { session, write, outputs, seen } = await scene();
    await write(['a', 'b', 'c', 'd'], 0);
    const one = await session(0, protocol);
    const first = await one.collect(4);
    expect(
      await one.session.commit(
        unitOf(first, [...outputs(['lost']), tooLarge(outputs(['x'])[0]?.topic ?? '')]),
      ),
    ).toBe('aborted');

    const again = await one.collect(4);
    expect(texts(again.records)).toEqual(['a', 'b', 'c', 'd']);
    const half = { records: again.records.slice(0, 2), epochs: again.epochs };
    expect(await one.session.commit(unitOf(half, outputs(['A', 'B'])))).toBe('committed');
    await one.session.commit(unitOf(again, [tooLarge(outputs(['x'])[0]?.topic ?? '')]));
    expect(texts((await one.collect(2)).records)).toEqual(['c', 'd']);
    expect(await seen()).toEqual(['A', 'B']);
    await closeAll();
  });

  test('rule 3: work of a member that the group has forgotten is refused, even where it moves no offset', async () => {
    const { session, group, write, outputs, seen } = await scene();
    await write(['a', 'b'], 0);
    const one = await session(0, protocol);
    const batch = await one.collect(2);
    expect(await expelMembers(kafka.brokers, group, protocol)).toBe(1);
    // An answer's transaction: state and output of the partition, no record finished.
    const unit = { touched: batch.epochs, next: [], writes: outputs(['zombie']) };
    expect(await one.session.commit(unit)).toBe('aborted');
    // The abort was clean: the same session joins again and goes on.
    let done = await one.collect(2);
    await eventually('a commit after joining again', async () => {
      if ((await one.session.commit(unitOf(done, outputs(['A', 'B'])))) === 'committed')
        return true;
      done = await one.collect(2);
      return false;
    });
    expect(await seen()).toEqual(['A', 'B']);
    await closeAll();
  });

  test('rule 4: work taken before a partition was given up is refused, also once the partition is back', async () => {
    const { session, write, outputs, seen, p } = await scene();
    for (let partition = 0; partition < PARTITIONS; partition++)
      await write([`w${partition.toString()}`], partition);
    const one = await session(0, protocol);
    const old = await one.collect(PARTITIONS);
    const two = await session(1, protocol);
    await eventually('two partitions each', async () => {
      await Promise.all([one.take(), two.take()]);
      return one.owned.length === 2 && two.owned.length === 2;
    });
    expect(await one.session.commit(unitOf(old, outputs(['while away'])))).toBe('aborted');

    await two.session.close();
    open.splice(open.indexOf(two), 1);
    await one.own(PARTITIONS);
    expect(await one.session.commit(unitOf(old, outputs(['back again'])))).toBe('aborted');
    expect(await seen()).toEqual([]);
    expect(one.session.epoch(`${p(0).topic}/0`)).toBeDefined();
    await closeAll();
  });

  test('rule 8: a commit that took place without an answer is read back as committed, under a new producer', async () => {
    const { session, write, outputs, seen } = await scene();
    await write(['a', 'b'], 0);
    const one = await session(0, protocol);
    const batch = await one.collect(2);
    const { native } = producerOf(one.session);
    const real = native.commitTransaction.bind(native);
    answerCommits(one.session, (timeout, done) => {
      real(timeout, () => {
        done(timedOut());
      });
    });
    const before = producerOf(one.session);
    expect(await one.session.commit(unitOf(batch, outputs(['A', 'B'])))).toBe('committed');
    expect(producerOf(one.session)).not.toBe(before);
    await write(['c'], 0);
    expect(texts((await one.collect(1)).records)).toEqual(['c']);
    expect(await seen()).toEqual(['A', 'B']);
    await closeAll();
  });

  test('rule 8: who was forgotten does not take the offsets of who came after it for its own commit’s', async () => {
    const { session, group, write, outputs, seen } = await scene();
    await write(['a', 'b'], 0);
    const one = await session(0, protocol);
    const batch = await one.collect(2);
    const producer = producerOf(one.session);
    // Sent, and lost on the way; then this worker is frozen past its session, and its successor does the work.
    Object.assign(producer, {
      commit: async () => {
        expect(await expelMembers(kafka.brokers, group, protocol)).toBe(1);
        const two = await session(1, protocol);
        const same = await two.collect(2);
        expect(await two.session.commit(unitOf(same, outputs(['A', 'B'])))).toBe('committed');
        throw timedOut();
      },
    });
    expect(await one.session.commit(unitOf(batch, outputs(['zombie'])))).toBe('aborted');
    expect(await seen()).toEqual(['A', 'B']);
    await closeAll();
  });

  test('rule 8: a commit that never arrived is ended by the new producer, and its batch read again', async () => {
    const { session, write, outputs, seen } = await scene();
    await write(['a', 'b'], 0);
    const one = await session(0, protocol);
    const batch = await one.collect(2);
    answerCommits(one.session, (_timeout, done) => {
      done(timedOut());
    });
    expect(await one.session.commit(unitOf(batch, outputs(['lost'])))).toBe('aborted');
    const again = await one.collect(2);
    expect(texts(again.records)).toEqual(['a', 'b']);
    expect(await one.session.commit(unitOf(again, outputs(['A', 'B'])))).toBe('committed');
    expect(await seen()).toEqual(['A', 'B']);
    await closeAll();
  });
});

test('rule 7: partitions are handed over within the bound, even where their owner never finishes', async () => {
  const { session } = await scene();
  const timing = { revokeBoundMs: 1_000 };
  const stuck = await session(0, 'classic', {
    timing,
    finish: () => new Promise(() => undefined),
  });
  await stuck.own(PARTITIONS);
  const two = await session(1, 'classic');
  const begun = Date.now();
  await two.own(2, [stuck]);
  expect(stuck.finished).toHaveLength(2);
  expect(Date.now() - begun).toBeLessThan(10_000);
  await closeAll();
});

test('rule 7: what was taken is finished and committed before the partitions are given up', async () => {
  const { session, write, outputs, seen } = await scene();
  for (let partition = 0; partition < PARTITIONS; partition++) await write(['w'], partition);
  let finish: () => Promise<void> = () => Promise.resolve();
  const one = await session(0, 'classic', { finish: () => finish() });
  const batch = await one.collect(PARTITIONS);
  finish = async () => {
    finish = () => Promise.resolve();
    expect(await one.session.commit(unitOf(batch, outputs(['w', 'w', 'w', 'w'])))).toBe(
      'committed',
    );
  };
  const two = await session(1, 'classic');
  await two.own(2, [one]);
  const repeated = await two.take();
  expect(repeated.records).toEqual([]);
  expect(await seen()).toHaveLength(PARTITIONS);
  await closeAll();
});

test('rule 8: where offsets cannot tell how a commit ended, state is restored from its changelog', async () => {
  const { session, write, outputs } = await scene();
  await write(['a'], 0);
  const one = await session(0, 'classic');
  const batch = await one.collect(1);
  one.restored.length = 0;
  answerCommits(one.session, (_timeout, done) => {
    done(timedOut());
  });
  const unit = { touched: batch.epochs, next: [], writes: outputs(['answer']) };
  expect(await one.session.commit(unit)).toBe('aborted');
  expect(one.restored.sort()).toEqual(one.owned);
  await closeAll();
});

test('rule 8: an abort without an answer is not trusted either: the next transaction has another producer', async () => {
  const { session, write, outputs, seen } = await scene();
  await write(['a'], 0);
  const one = await session(0, 'classic');
  const batch = await one.collect(1);
  const before = producerOf(one.session);
  Object.assign(before.native, {
    abortTransaction: (_timeoutMs: number, done: (error: Error) => void) => {
      done(timedOut());
    },
  });
  const failing = [...outputs(['lost']), tooLarge(outputs(['x'])[0]?.topic ?? '')];
  expect(await one.session.commit(unitOf(batch, failing))).toBe('aborted');
  expect(producerOf(one.session)).not.toBe(before);
  const again = await one.collect(1);
  expect(await one.session.commit(unitOf(again, outputs(['A'])))).toBe('committed');
  expect(await seen()).toEqual(['A']);
  await closeAll();
});

test('rules 12, 13: a lone record does not wait for company', async () => {
  const { session, write } = await scene();
  const one = await session(0, 'classic');
  await one.own(PARTITIONS);
  await write(['alone'], 2);
  const begun = performance.now();
  const batch = await one.session.take(5_000, 2_000, new Promise(() => undefined));
  expect(texts(batch.records)).toEqual(['alone']);
  // Waiting for a second one would take the whole 2 s again.
  expect(performance.now() - begun).toBeLessThan(1_500);
  await closeAll();
});

test('a session that cannot start leaves nothing connected: its process can end, and be started again', async () => {
  const { group } = await scene();
  const one = new TestSession(kafka, {
    group: group.slice(kafka.prefix.length),
    slot: 0,
    topics: [],
    protocol: 'classic',
    // Its client refuses to make the producer.
    client: { 'enable.idempotence': false },
  });
  const seen: string[] = [];
  const { native } = one.session['consumer'];
  for (const event of ['ready', 'disconnected'] as const)
    native.on(event, () => {
      seen.push(event);
    });
  await expect(one.session.start()).rejects.toMatchObject({ code: 'kafka_unavailable' });
  expect(seen).toEqual(['ready', 'disconnected']);
});

test('what a transaction writes to a partition is one request, however long handing it over takes', async () => {
  const { session, outputs } = await scene();
  const one = await session(0, 'classic', { client: WITH_STATISTICS });
  const requests = produceRequests(producerOf(one.session));
  // Below the 10,000 records and the megabyte that a batch holds; handing it over takes longer than a short linger.
  const many = outputs(Array.from({ length: 8_000 }, (_, n) => `output ${n.toString()}`));
  const unit = { touched: new Map<string, number>(), next: [], writes: many };
  expect(await one.session.commit(unit)).toBe('committed');
  await eventually('statistics from after the commit', () => requests() > 0);
  expect(requests()).toBe(1);
  await closeAll();
});

test('rule 16: a partition that comes during back-pressure stays paused, and a deferral outlives a rebalance', async () => {
  const { session, write, p } = await scene();
  const one = await session(0, 'classic');
  await one.own(PARTITIONS);
  const two = await session(1, 'classic');
  await eventually('two partitions each', async () => {
    await Promise.all([one.take(), two.take()]);
    return one.owned.length === 2 && two.owned.length === 2;
  });
  const [kept = '', other = ''] = one.owned;
  const partition = Number(kept.split('/')[1]);
  await write(['later'], partition);
  const [record] = (await one.collect(1)).records;
  const due = Date.now() + 3_000;
  await one.session.defer({ ...p(partition), offset: record?.at.offset ?? -1 }, due);
  one.session.pressBack(true);
  await two.session.close();
  open.splice(open.indexOf(two), 1);
  for (let each = 0; each < PARTITIONS; each++) if (each !== partition) await write(['now'], each);
  const early: string[] = [];
  await eventually('all partitions', async () => {
    early.push(...texts((await one.take()).records));
    return one.owned.length === PARTITIONS;
  });
  for (let takes = 0; takes < 10; takes++) early.push(...texts((await one.take()).records));
  expect(early).toEqual([]);

  one.session.pressBack(false);
  expect(texts((await one.collect(PARTITIONS - 1)).records)).toEqual(['now', 'now', 'now']);
  expect(Date.now()).toBeLessThan(due);
  expect(texts((await one.collect(1)).records)).toEqual(['later']);
  expect(Date.now()).toBeGreaterThanOrEqual(due);
  expect(other).not.toBe('');
  await closeAll();
});

test('rule 16: a partition that was given up while it was paused is read when it comes back', async () => {
  const { session, write, p } = await scene();
  const one = await session(0, 'classic');
  await one.own(PARTITIONS);
  for (let partition = 0; partition < PARTITIONS; partition++) await write(['w'], partition);
  for (const { at } of (await one.collect(PARTITIONS)).records)
    await one.session.defer({ ...p(at.partition), offset: at.offset }, Date.now() + 3_600_000);
  const two = await session(1, 'classic');
  await eventually('two partitions each', async () => {
    await Promise.all([one.take(), two.take()]);
    return one.owned.length === 2 && two.owned.length === 2;
  });
  const gone = [...two.owned];
  await two.session.close();
  open.splice(open.indexOf(two), 1);
  const back = await one.collect(2);
  expect(back.records.map(({ at }) => partitionId(at)).sort()).toEqual(gone);
  await closeAll();
});

test('rule 17: lag is 0 at the end of a transactional topic, and counts what is to be read again', async () => {
  const { session, write, outputs, p } = await scene();
  const source = await session(0, 'classic');
  await write(['a', 'b', 'c'], 1);
  const produced = await source.collect(3);
  await source.session.commit(unitOf(produced, outputs(['x', 'y', 'z'])));
  const output = outputs(['x'])[0]?.topic ?? '';
  const at = { topic: output, partition: 0 };
  const sink = new TestSession(kafka, {
    group: 'lag',
    slot: 0,
    topics: [output],
    protocol: 'classic',
  });
  open.push(sink);
  await sink.session.start();
  const batch = await sink.collect(3);
  // Delivered, but neither decided nor committed: a dependency may be away.
  await sink.session.rewind();
  expect(sink.session.lag(at)).toBeGreaterThanOrEqual(3);
  const again = await sink.collect(3);
  expect(again.records).toHaveLength(batch.records.length);
  expect(await sink.session.commit(unitOf(again, []))).toBe('committed');
  await eventually('lag 0 behind the marker', async () => {
    await sink.take();
    return sink.session.lag(at) === 0;
  });
  expect(source.session.lag(p(1))).toBe(0);
  await closeAll();
});

test('closing while a rebalance waits to be carried out leaves the group at once', async () => {
  const { session } = await scene();
  const one = await session(0, 'classic');
  await one.own(PARTITIONS);
  const two = await session(1, 'classic');
  await eventually('a revocation is waiting', async () => {
    await two.take();
    // One keeps polling, but nobody carries out what its callback was told.
    await one.session['consumer'].take(1, 20);
    return one.session['rebalances'].length > 0;
  });
  const begun = Date.now();
  await one.session.close();
  expect(Date.now() - begun).toBeLessThan(4_000);
  open.splice(open.indexOf(one), 1);
  await two.own(PARTITIONS);
  await closeAll();
});

test('told to leave while state is restored, it hands the partitions back unread, and another has them at once', async () => {
  const { session, write } = await scene();
  await write(['a'], 0);
  const one = await session(0, 'classic', {
    restore: () => {
      one.session.leave();
      return new Promise(() => undefined); // a changelog whose end never comes
    },
  });
  await eventually('a restore', async () => {
    await one.take();
    return one.restored.length > 0;
  });
  expect(one.owned).toEqual([]);
  await one.session.close();
  const two = await session(1, 'classic');
  expect(texts((await two.collect(1)).records)).toEqual(['a']);
  await closeAll();
});

test('told to leave while Kafka does not say how a commit ended, it gives up asking, and nobody takes it for done', async () => {
  const { session, write, outputs } = await scene();
  await write(['a'], 0);
  const one = await session(0, 'classic', { timing: { revokeBoundMs: 200 } });
  const batch = await one.collect(1);
  answerCommits(one.session, (_, done) => {
    one.session.leave();
    done(timedOut());
  });
  // No producer can be made any more.
  Object.assign(one.session, { initialise: () => Promise.reject(new Error('no broker')) });
  await expect(one.session.commit(unitOf(batch, outputs(['A'])))).rejects.toThrow(Interrupted);
  await closeAll();
});

test('state of a newer release stops the worker instead of being tried for ever', async () => {
  const { session } = await scene();
  const one = await session(0, 'classic', {
    restore: () =>
      Promise.reject(new PipelineError('state_too_new', 'run Millrace 9.0.0 or later')),
  });
  await expect(one.own(PARTITIONS)).rejects.toMatchObject({ code: 'state_too_new' });
  await closeAll();
});
