import { expect, test } from 'vitest';
import { PipelineError } from '../../schemas/error.js';
import type { Topic } from '../../schemas/record.js';
import { GlobalTables } from './global-tables.js';
import type { RawRecord, TopicPartition } from './raw-record.js';

const record = (key: string, value: string): RawRecord => ({
  at: { topic: 'config', partition: 0, offset: 0 },
  key: Buffer.from(key),
  value: Buffer.from(value),
  timestamp: 0,
  headers: {},
});

const away = new PipelineError('kafka_unavailable', 'Local: Unknown partition');
const registryAway = new PipelineError('registry_unavailable', 'no answer');

interface Failing {
  /** Of reading, after a record; then of fetching the schemas. */
  readonly reading?: readonly Error[];
  readonly preparing?: readonly Error[];
}

/** Opens over a reader and a registry whose first tries break off with these errors. */
const opened = async (failing: Failing) => {
  const reading = [...(failing.reading ?? [])];
  const preparing = [...(failing.preparing ?? [])];
  const waited: Error[] = [];
  const applied: string[] = [];
  // To follow it live needs a broker, which is not there: with this it has been read.
  const read = new PipelineError('defect', 'read; go no further');
  const decode = (bytes: Buffer): never => {
    applied.push(bytes.toString());
    throw read;
  };
  const topic: Topic<unknown> = {
    name: 'config',
    codec: { encode: () => Buffer.alloc(0), decode },
  };
  const tables = new GlobalTables([topic], {
    client: { 'metadata.broker.list': '127.0.0.1:1' },
    groupId: 'tables',
    reader: {
      read: (_: TopicPartition, visit: (one: RawRecord) => void) => {
        const error = reading.shift();
        visit(record('a', error === undefined ? 'whole' : 'half read'));
        return error === undefined ? Promise.resolve() : Promise.reject(error);
      },
    },
    prepare: () => {
      const error = preparing.shift();
      return error === undefined ? Promise.resolve() : Promise.reject(error);
    },
    partitionsOf: () => 1,
    onWaiting: (error) => waited.push(error),
    onError: (error) => waited.push(error),
  });
  const ended: unknown = await tables.open().catch((thrown: unknown) => thrown);
  return { ended, waited, applied, wasRead: ended === read };
};

test.each([
  ['a partition whose leader is not known yet is read again', { reading: [away, away] }],
  ['a registry that is away is asked again', { preparing: [registryAway, registryAway] }],
])('%s: a worker does not end for it at its start', async (_, failing: Failing) => {
  const { waited, applied, wasRead } = await opened(failing);
  expect(wasRead).toBe(true);
  expect(applied).toEqual(['whole']);
  expect(waited).toEqual(failing.reading ?? failing.preparing);
});

test('what waiting does not mend ends it at once', async () => {
  const defect = new PipelineError('defect', 'no such thing');
  const { ended, waited, applied } = await opened({ reading: [defect, away] });
  expect(ended).toBe(defect);
  expect([waited, applied]).toEqual([[], []]);
});
