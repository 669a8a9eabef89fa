import { expect, test } from 'vitest';
import { PipelineError } from '../../schemas/error.js';
import type { Topic } from '../../schemas/record.js';
import { GlobalTables } from './global-tables.js';
import type { RawRecord, TopicPartition } from './raw-record.js';

const topic: Topic<unknown> = {
  name: 'config',
  codec: { encode: () => Buffer.alloc(0), decode: (bytes) => bytes.toString() },
};
const record = (key: string, value: string): RawRecord => ({
  at: { topic: 'config', partition: 0, offset: 0 },
  key: Buffer.from(key),
  value: Buffer.from(value),
  timestamp: 0,
  headers: {},
});

/** A reader whose first tries break off, after a record, with this error. */
const opened = async (error: Error, failures: number) => {
  let left = failures;
  const told: Error[] = [];
  const tables = new GlobalTables([topic], {
    client: { 'metadata.broker.list': '127.0.0.1:1' },
    groupId: 'tables',
    reader: {
      read: (_: TopicPartition, visit: (one: RawRecord) => void) => {
        visit(record('a', left > 0 ? 'half read' : 'whole'));
        left -= 1;
        return left >= 0 ? Promise.reject(error) : Promise.resolve();
      },
    },
    prepare: () => Promise.reject(new PipelineError('registry_unavailable', 'read; go no further')),
    partitionsOf: () => 1,
    onError: (one) => told.push(one),
  });
  const ended = await tables.open().catch((thrown: unknown) => thrown);
  return { ended, told };
};

test('a partition whose leader is not known yet is read again: a worker does not end for it at its start', async () => {
  const away = new PipelineError('kafka_unavailable', 'Local: Unknown partition');
  const { ended, told } = await opened(away, 2);
  // It got past the reading.
  expect(ended).toMatchObject({ code: 'registry_unavailable' });
  expect(told).toEqual([away, away]);
});

test('what waiting does not mend ends it at once', async () => {
  const defect = new PipelineError('defect', 'no such thing');
  expect(await opened(defect, 2)).toEqual({ ended: defect, told: [] });
});
