import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { answer } from '../../processors/testing/feedback.js';
import { newClock } from '../../processors/windows/merge-state.js';
import { isRebuilt } from '../../processors/windows/rebuilt.js';
import { mergingCodec } from '../../processors/windows/window-codec.js';
import { tenantId } from '../../schemas/brand.js';
import type { ChannelWindow, DeliveryFeedback } from '../../schemas/generated/records.js';
import { asError } from '../../schemas/error.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import { changelogKey } from '../../topologies/runtime/chain.js';
import { readRange } from '../../topologies/runtime/range-reader.js';
import { ProducerClient } from '../../topologies/runtime/rdkafka-client.js';
import { withAdmin } from '../cli/kafka-admin.js';
import { RequestProducer } from '../produce/request-producer.js';
import { commandLine } from '../testing/command-line.js';
import type { ScratchInstallation } from '../testing/scratch-installation.js';
import { scratchInstallation } from '../testing/scratch-installation.js';
import { keyOf } from './window-compare.js';

const PARTITIONS = 2;
const HOUR_MS = 3_600_000;
const WINDOW_MS = 300_000;
/** More than a day: read in two blocks. */
const WINDOWS = 360;
const START = Math.floor(Date.now() / WINDOW_MS) * WINDOW_MS - (WINDOWS + 12) * WINDOW_MS;
/** The slower of the two mergers has forgotten all but the last ten. */
const FORGOTTEN = WINDOWS - 10;
const startOf = (index: number): number => START + index * WINDOW_MS;

let own: ScratchInstallation;
let millrace: ReturnType<typeof commandLine>;
const figures = (said: { readonly json: () => unknown }) =>
  (said.json() as { readonly figures: Record<string, number> }).figures;

const taken = (occurredAt: number): DeliveryFeedback =>
  answer({ occurredAt, feedbackId: `f${occurredAt}`, tenantId: tenantId('lantern') });

/** Answers with the time at which each was written. */
const feedback = async (
  answers: readonly { readonly value: DeliveryFeedback; readonly writtenAt: number }[],
): Promise<void> => {
  const codec = own.codecs.of('DeliveryFeedback', own.names.feedback);
  const client = new ProducerClient({ ...rdkafkaConnection(own.kafka) });
  await client.connect(5_000);
  for (const [index, { value, writtenAt }] of answers.entries())
    client.native.produce(
      own.names.feedback,
      index % PARTITIONS,
      codec.encode(value),
      null,
      writtenAt,
    );
  await new Promise<void>((resolve, reject) => {
    client.native.flush(10_000, (error: unknown) => {
      if (error === null || error === undefined) resolve();
      else reject(asError(error));
    });
  });
  await client.disconnect(5_000);
};

/** What windows-merge keeps of itself: up to where each of its partitions has forgotten windows. */
const mergersForgot = async (to: readonly number[]): Promise<void> => {
  const producer = await RequestProducer.open(own.kafka, () => undefined);
  for (const [partition, prunedTo] of to.entries())
    await producer.send({
      topic: own.names.internal.windowsMerging,
      partition,
      key: changelogKey(own.names.internal.windowsPartials, 'clock'),
      value: mergingCodec().encode({ ...newClock(0), prunedTo }),
    });
  await producer.settle();
  await producer.close();
};

const writeWindow = async (value: ChannelWindow): Promise<void> => {
  const producer = await RequestProducer.open(own.kafka, () => undefined);
  await producer.send({
    topic: own.names.windows,
    key: 'channel/sms/aliyun',
    value: own.codecs.of('ChannelWindow', own.names.windows).encode(value),
  });
  await producer.settle();
  await producer.close();
};

/** All revisions there are, in order of each partition. */
const stored = async (): Promise<
  readonly { readonly window: ChannelWindow; readonly rebuilt: boolean }[]
> => {
  const codec = own.codecs.of('ChannelWindow', own.names.windows);
  const found: { window: ChannelWindow; rebuilt: boolean }[] = [];
  for await (const batch of readRange({
    settings: rdkafkaConnection(own.kafka),
    topics: [own.names.windows],
    to: 'high',
  })) {
    await own.codecs.prepare(batch.map(({ value }) => value));
    for (const { value, headers } of batch)
      if (value !== null) found.push({ window: codec.decode(value), rebuilt: isRebuilt(headers) });
  }
  return found;
};
const highest = async (): Promise<ReadonlyMap<string, ChannelWindow>> => {
  const windows = new Map<string, ChannelWindow>();
  for (const { window } of await stored())
    if ((windows.get(keyOf(window))?.revision ?? -1) < window.revision)
      windows.set(keyOf(window), window);
  return windows;
};
const smsAt = async (index: number): Promise<ChannelWindow | undefined> =>
  [...(await highest()).values()].find(
    ({ series, windowStart }) => series === 'channel' && windowStart === startOf(index),
  );

const total = (found: Record<string, number>): number =>
  ['same', 'rewritten', 'missing', 'open', 'partly', 'less', 'otherwise'].reduce(
    (sum, name) => sum + (found[name] ?? 0),
    0,
  );

beforeAll(async () => {
  own = await scratchInstallation(
    ({ name }, { feedback, windows, config, internal }) =>
      new Set<string>([feedback, windows, config, internal.windowsMerging]).has(name),
    PARTITIONS,
  );
  millrace = commandLine(own.variables);
  expect(await millrace('config', 'apply')).toMatchObject({ code: 0 });
  const twice = Array.from({ length: 2 * WINDOWS }, (_, index) => {
    const occurredAt = startOf(Math.floor(index / 2)) + 1_000 + index;
    return { value: taken(occurredAt), writtenAt: occurredAt + 200 };
  });
  await feedback([
    ...twice,
    // Written more than a day after it was taken, long after its block's others.
    { value: taken(startOf(3) + 2_000), writtenAt: startOf(WINDOWS - 1) },
  ]);
});
afterAll(async () => {
  await own.remove();
});

test('windows that no merger has forgotten yet are theirs: nothing is done, and it says why', async () => {
  const said = await millrace('rebuild', 'windows', '--reason', 'x', '--apply');
  expect(said.code).toBe(1);
  expect(said.err).toContain('its workers write those themselves');
  await mergersForgot([startOf(FORGOTTEN + 5), startOf(FORGOTTEN) + 1]);
});

test('a dry run counts what is missing and writes nothing', async () => {
  const dry = await millrace('rebuild', 'windows', '--json');
  expect(dry).toMatchObject({ code: 0, err: '' });
  const found = figures(dry);
  expect(found).toMatchObject({
    read: 2 * WINDOWS + 1,
    windows: 2 * WINDOWS,
    missing: 2 * FORGOTTEN,
    open: 20,
    same: 0,
    partly: 0,
    otherwise: 0,
    unreadable: 0,
  });
  expect(total(found)).toBe(found['windows']);
  expect(await stored()).toEqual([]);
});

test('interrupted half-way and gone on with, each lost window is written once, with late answers, and again nothing', async () => {
  const interrupted = millrace(
    'rebuild',
    'windows',
    '--reason',
    'windows lost',
    '--apply',
    '--rate',
    '400',
    '--json',
  );
  const deadline = Date.now() + 30_000;
  while ((await stored()).length === 0) {
    if (Date.now() > deadline) throw new Error('no window was written');
    await pause(50);
  }
  process.emit('SIGINT');
  const half = await interrupted;
  expect(half.code).toBe(1);
  const { run } = half.json() as { readonly run: string };
  const before = (await stored()).length;
  expect(before).toBeGreaterThan(0);
  expect(before).toBeLessThan(2 * FORGOTTEN);

  const done = await millrace('rebuild', 'windows', '--apply', '--resume', run, '--json');
  expect(done).toMatchObject({ code: 0, err: '' });
  const found = figures(done);
  expect(found).toMatchObject({
    same: before,
    missing: 2 * FORGOTTEN - before,
    open: 20,
    wrong: 0,
  });
  expect(total(found)).toBe(found['windows']);
  const all = await stored();
  expect(all).toHaveLength(2 * FORGOTTEN);
  expect(all.every(({ rebuilt }) => rebuilt)).toBe(true);
  for (const [key, window] of await highest())
    expect({ key, ...window }).toMatchObject({
      key,
      revision: 0,
      complete: true,
      attempts: window.windowStart === startOf(3) ? 3 : 2,
    });

  const twice = await millrace('rebuild', 'windows', '--reason', 'once more', '--apply', '--json');
  expect(figures(twice)).toMatchObject({ same: 2 * FORGOTTEN, missing: 0, rewritten: 0 });
  expect(await stored()).toHaveLength(2 * FORGOTTEN);
  const [last, first] = (await millrace('actions', '--json')).json() as readonly object[];
  expect(last).toMatchObject({ command: 'rebuild windows', reason: 'once more', state: 'done' });
  expect(first).toMatchObject({ id: run, reason: 'windows lost', state: 'done' });
});

test('a window that lacks something gets the revision after its highest; one that says more, or is open to a merger, stays', async () => {
  const good = await smsAt(40);
  if (good === undefined) throw new Error('window 40 is not there');
  await writeWindow({ ...good, revision: 6, attempts: 1 });
  const more = { ...good, windowStart: startOf(41), revision: 1, attempts: 7 };
  await writeWindow(more);
  const open = { ...good, windowStart: startOf(FORGOTTEN + 2), attempts: 70 };
  await writeWindow(open);
  // All that range asks for, and no more.
  const since = new Date(startOf(30)).toISOString();
  const done = await millrace(
    'rebuild',
    'windows',
    '--since',
    since,
    '--reason',
    'x',
    '--apply',
    '--json',
  );
  expect(done).toMatchObject({ code: 0, err: '' });
  expect(figures(done)).toMatchObject({
    rewritten: 1,
    missing: 0,
    open: 20,
    less: 1,
    same: 2 * (FORGOTTEN - 30) - 2,
    // An hour is read before it, and begins anywhere; the late answer's window too.
    partly: 2 * 12 + 2,
    wrong: 0,
  });
  expect(await smsAt(40)).toMatchObject({ revision: 7, attempts: 2 });
  expect(await smsAt(41)).toEqual(more);
  expect(await smsAt(FORGOTTEN + 2)).toEqual(open);
});

test('windows whose feedback retention has taken in part are left alone and counted', async () => {
  // Two answers a window: the first partition loses those of the first 20.
  await withAdmin(own.kafka, async (admin) => {
    // kafkajs deletes only from topics that it has heard of.
    await admin.fetchTopicOffsets(own.names.feedback);
    await admin.deleteTopicRecords({
      topic: own.names.feedback,
      partitions: [{ partition: 0, offset: '20' }],
    });
  });
  const said = await millrace('rebuild', 'windows', '--reason', 'x', '--apply', '--json');
  expect(said).toMatchObject({ code: 0, err: '' });
  const found = figures(said);
  // Clocks may differ: an hour more than what is gone, and a window that began before.
  expect(found).toMatchObject({
    partly: 2 * (20 + HOUR_MS / WINDOW_MS + 1),
    rewritten: 0,
    missing: 0,
  });
  expect(total(found)).toBe(found['windows']);
  expect(await smsAt(0)).toMatchObject({ revision: 0, attempts: 2 });
});

test('a topic without feedback is said, not done', async () => {
  const said = await millrace('rebuild', 'windows', '--since', '2099-01-01', '--apply');
  expect(said.code).toBe(2);
  const empty = await millrace('rebuild', 'windows', '--since', '2099-01-01');
  expect(empty.code).toBe(1);
  expect(empty.err).toContain('holds nothing since 2099');
});
