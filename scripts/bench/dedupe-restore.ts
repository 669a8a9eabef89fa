import { randomFillSync, randomUUID } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { DEDUPE_SPAN_MS } from '../../processors/dedupe/span.js';
import { ID_BYTES, idBatchCodec } from '../../schemas/id-batch.js';
import type { Codec } from '../../schemas/record.js';
import { readEnvironment } from '../../topologies/config.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import { ChangelogReader } from '../../topologies/runtime/changelog-reader.js';
import { IdSetStore } from '../../topologies/runtime/id-set-store.js';
import type { Write } from '../../topologies/runtime/raw-record.js';
import { ProducerClient } from '../../topologies/runtime/rdkafka-client.js';
import { withAdmin } from '../cli/kafka-admin.js';
import { round } from './figures.js';

export interface DedupeRestoreResult {
  readonly ids: number;
  readonly records: number;
  /** Changelog read, and sets ready: from the first call to the last, one partition after the other. */
  readonly restoreSeconds: number;
  /** Of this process, all threads: what a busy machine does not change. */
  readonly restoreCpuSeconds: number;
  /** What the sets hold outside the JavaScript heap, by their own count. */
  readonly bytesPerId: number;
  /** What the process grew by, sets and all that reading left behind. */
  readonly residentBytesPerId: number;
  /** A question for an id that is not there looks at every hour's table. */
  readonly microsecondsPerMiss: number;
  readonly missing: number;
}

const HOUR_MS = 3_600_000;
const PARTITIONS = 4;
const DEADLINE_MS = 60_000;
const AT_ONCE = 500;
const QUESTIONS = 200_000;

/** Packed records written straight to a changelog, as intake writes them through a day; then restored by the same code. */
export const dedupeRestore = async (
  { ids, idsPerRecord }: { readonly ids: number; readonly idsPerRecord: number },
  say: (line: string) => void,
): Promise<DedupeRestoreResult> => {
  const { kafka } = readEnvironment(process.env, ['kafka']);
  const client = rdkafkaConnection(kafka);
  const topic = `bench-${randomUUID().slice(0, 8)}.internal.dedupe`;
  const codec = idBatchCodec();
  await withAdmin(kafka, (admin) =>
    admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS, replicationFactor: 1 }] }),
  );
  const reader = new ChangelogReader(client, `${topic}.restore`);
  try {
    say(`writing ${ids.toString()} ids`);
    const probes = await writeDay(client, topic, ids, idsPerRecord);
    const before = process.memoryUsage().rss;
    say('restoring');
    const started = performance.now();
    const cpuBefore = process.cpuUsage();
    const stores: IdSetStore[] = [];
    let records = 0;
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const store = new IdSetStore(DEDUPE_SPAN_MS);
      const restoring = store.restoring(codec as Codec<unknown>, Date.now());
      await reader.read({ topic, partition }, ({ value }) => {
        records += 1;
        restoring.take('', value);
      });
      restoring.done();
      stores.push(store);
    }
    const restoreSeconds = (performance.now() - started) / 1_000;
    const { user, system } = process.cpuUsage(cpuBefore);
    const size = stores.reduce((sum, store) => sum + store.size, 0);
    const bytes = stores.reduce((sum, store) => sum + store.bytes, 0);
    const grown = process.memoryUsage().rss - before;
    return {
      ids: size,
      records,
      restoreSeconds: round(restoreSeconds, 2),
      restoreCpuSeconds: round((user + system) / 1e6, 2),
      bytesPerId: round(bytes / size),
      residentBytesPerId: round(grown / size),
      microsecondsPerMiss: round(missCost(stores), 2),
      missing: ids - size + probes.filter((id) => !stores.some((store) => store.has(id))).length,
    };
  } finally {
    await reader.close();
    await withAdmin(kafka, (admin) => admin.deleteTopics({ topics: [topic] }));
  }
};

/** Spread over the span's hours and the partitions; answers an id of each record. */
const writeDay = async (
  client: Record<string, string>,
  topic: string,
  ids: number,
  idsPerRecord: number,
): Promise<Buffer[]> => {
  const codec = idBatchCodec();
  const producer = new ProducerClient(client);
  await producer.connect(DEADLINE_MS);
  const records = Math.ceil(ids / idsPerRecord);
  const first = Date.now() - DEDUPE_SPAN_MS + HOUR_MS;
  const probes: Buffer[] = [];
  try {
    for (let from = 0; from < records; from += AT_ONCE) {
      const writes: Write[] = [];
      for (let at = from; at < Math.min(records, from + AT_ONCE); at++) {
        const count = Math.min(idsPerRecord, ids - at * idsPerRecord);
        const batch = randomFillSync(Buffer.alloc(count * ID_BYTES));
        probes.push(Buffer.from(batch.subarray(0, ID_BYTES)));
        const addedAt = Math.floor(first + ((DEDUPE_SPAN_MS - HOUR_MS) * at) / records);
        writes.push({
          topic,
          partition: at % PARTITIONS,
          key: 'ingest|',
          value: codec.encode({ addedAt, ids: batch }),
        });
      }
      await producer.produce(writes, DEADLINE_MS);
      await producer.flush(DEADLINE_MS);
    }
  } finally {
    await producer.disconnect(5_000);
  }
  return probes;
};

const missCost = (stores: readonly IdSetStore[]): number => {
  const questions = randomFillSync(Buffer.alloc(QUESTIONS * ID_BYTES));
  const started = performance.now();
  for (let at = 0; at < questions.length; at += ID_BYTES)
    stores[(at / ID_BYTES) % stores.length]?.has(questions.subarray(at, at + ID_BYTES));
  return ((performance.now() - started) * 1_000) / QUESTIONS;
};
