import { afterAll, beforeAll, expect, test } from 'vitest';
import type { MessageRequest } from '../../schemas/generated/records.js';
import type { RecordName } from '../../schemas/record-types.js';
import { openCodecs, type Codecs } from '../../schemas/topic-codecs.js';
import { schemaRegistry, type SchemaRegistry } from '../../schemas/registry.js';
import { postgresLedger } from '../../sinks/postgres/ledger.js';
import { ReentryProducer, type ReentryRun, type Returning } from '../../topologies/reenter.js';
import type { RawRecord } from '../../topologies/runtime/raw-record.js';
import type { Installation } from '../installation/installation.js';
import { until } from '../installation/until.js';
import { WorkerProcess } from '../installation/worker-process.js';
import { installAcceptance } from './fixture.js';
import { everything, Outcomes } from './outcomes.js';
import { Traffic } from './traffic.js';

const COUNT = 200;
const LANE = 'p1';

let installation: Installation;
let registry: SchemaRegistry;
let codecs: Codecs;
let outcomes: Outcomes;
let worker: WorkerProcess;
let requests: readonly MessageRequest[];

beforeAll(async () => {
  installation = await installAcceptance('reenter');
  const { names, environment } = installation;
  registry = schemaRegistry(environment.registry);
  const record = (topic: string, name: RecordName) => ({ topic, record: name });
  codecs = await openCodecs(registry, [
    record(names.ingest(LANE), 'MessageRequest'),
    record(names.deduped(LANE), 'MessageDeduped'),
    record(names.reserved(LANE), 'BudgetReserved'),
    record(names.routed('app_push', LANE), 'MessageRouted'),
  ]);
  outcomes = await Outcomes.follow(installation);
  worker = await WorkerProcess.start(installation.variables, []);
  const traffic = await Traffic.open(installation);
  requests = await traffic.write(COUNT, ['app_push'], [LANE]);
  await traffic.close();
  await outcomes.until('everything to be sent', () => ended(0) === COUNT);
}, 180_000);

afterAll(async () => {
  await worker.stop();
  await outcomes.close();
  await registry.close();
  await installation.remove();
}, 120_000);

const ended = (generation: number): number =>
  outcomes.feedback.filter(({ value }) => value.terminal && value.generation === generation).length;

/** Everything that the topics of the way hold, as it would be put back. */
const onTheWay = async (): Promise<Returning[]> => {
  const { names } = installation;
  const read = async <V>(topic: string, of: (raw: RawRecord, value: Buffer) => V): Promise<V[]> => {
    const records = await everything(installation, [topic]);
    await codecs.prepare(records.map(({ value }) => value));
    return records.map((raw) => of(raw, raw.value ?? Buffer.alloc(0)));
  };
  const [ingest, deduped, reserved, routed] = [
    names.ingest(LANE),
    names.deduped(LANE),
    names.reserved(LANE),
    names.routed('app_push', LANE),
  ];
  const at = ({ at: origin }: RawRecord) => ({ origin, lane: LANE }) as const;
  return [
    ...(await read(ingest, (raw, bytes) => ({
      ...at(raw),
      stage: 'dedupe' as const,
      value: codecs.of('MessageRequest', ingest).decode(bytes),
      key: raw.key?.toString() ?? null,
      generation: 0,
    }))),
    ...(await read(deduped, (raw, bytes) => ({
      ...at(raw),
      stage: 'budget-reserve' as const,
      value: codecs.of('MessageDeduped', deduped).decode(bytes),
    }))),
    ...(await read(reserved, (raw, bytes) => ({
      ...at(raw),
      stage: 'route' as const,
      value: codecs.of('BudgetReserved', reserved).decode(bytes),
    }))),
    ...(await read(routed, (raw, bytes) => ({
      ...at(raw),
      stage: 'send' as const,
      value: codecs.of('MessageRouted', routed).decode(bytes),
    }))),
  ];
};

const reenter = async (run: Partial<ReentryRun>, records: readonly Returning[]) => {
  const producer = await ReentryProducer.open(
    { client: installation.client, prefix: installation.environment.kafka.prefix, codecs },
    { runId: 'run', startedAt: Date.now(), reason: 'a test', generation: 'same', ...run },
  );
  const written = await producer.reenter(records);
  await producer.close();
  return written;
};

/** Events of the lane's re-entry stage so far, by name. */
const events = async (): Promise<ReadonlyMap<string, number>> => {
  const samples = await worker.metric('millrace_stage_events_total');
  return new Map(
    [...samples].flatMap(([labels, count]) =>
      labels.includes('stage="reentry"')
        ? [[/event="([^"]*)"/.exec(labels)?.[1] ?? '', count] as const]
        : [],
    ),
  );
};

/** Posted micros, once settle has come to rest. */
const posted = async (expected: bigint): Promise<void> => {
  const ledger = postgresLedger(installation.database);
  await until(`${expected.toString()} micros posted`, 30_000, async () => {
    const cny = (await ledger.totals()).cash.get('CNY');
    return cny?.posted === expected && cny.pending === 0n;
  });
};

test('a replay of everything that lies on the way: counted as done already, nothing is sent or debited', async () => {
  const records = await onTheWay();
  expect(records).toHaveLength(4 * COUNT);
  expect(await reenter({ runId: 'replay' }, records)).toEqual({ written: 4 * COUNT, ahead: 0 });
  await until('all to be looked at', 60_000, async () => {
    const counted = await events();
    return (counted.get('already_reserved') ?? 0) === 4 * COUNT;
  });
  expect([...(await events()).keys()].filter((event) => event !== 'early')).toEqual([
    'already_reserved',
  ]);
  expect(ended(0)).toBe(COUNT);
  expect(outcomes.refused).toEqual([]);
  await posted(BigInt(COUNT) * 2_000n);
}, 120_000);

test('what its own group has not taken yet is left out and counted', async () => {
  const [record] = await onTheWay();
  if (record === undefined) throw new Error('nothing was written');
  const origin = { ...record.origin, offset: 1_000_000 };
  expect(await reenter({ runId: 'ahead' }, [{ ...record, origin }])).toEqual({
    written: 0,
    ahead: 1,
  });
}, 60_000);

test('a redrive delivers under the next generation, paid for anew, once although it ran twice and its worker was killed', async () => {
  const records = (await onTheWay()).filter(({ stage }) => stage === 'budget-reserve');
  expect(records).toHaveLength(COUNT);
  const next = { generation: 'next' } as const;
  await reenter({ runId: 'redrive', ...next }, records);
  await outcomes.until('the first of them', () => ended(1) > 0);
  await worker.kill();
  await reenter({ runId: 'redrive-again', ...next }, records);
  worker = await WorkerProcess.start(installation.variables, []);
  await outcomes.until('all to be delivered again', () => ended(1) === COUNT);
  await until('the second run to be looked at', 60_000, async () => {
    const lag = await worker.metric('millrace_lag_records');
    const again = [...lag].filter(([labels]) => labels.includes(`task="again.${LANE}"`));
    return again.length > 0 && again.every(([, records_]) => records_ === 0);
  });
  await posted(BigInt(COUNT) * 4_000n);
  const ids = outcomes.feedback.map(({ value }) => value.feedbackId);
  expect(new Set(ids).size).toBe(ids.length);
  for (const { messageId } of requests)
    expect(outcomes.ends(messageId).map(({ generation }) => generation)).toEqual([0, 1]);
  expect(outcomes.refused).toEqual([]);
}, 180_000);
