import type { ConfigEntry } from '../schemas/generated/records.js';
import type { Topic } from '../schemas/record.js';
import type { ChangelogReader } from './runtime/changelog-reader.js';
import type { RawRecord } from './runtime/raw-record.js';

/** The `config` topic as it is now, as a table: what decides which topics exist is needed before any table is followed. */
export const readPublishedConfig = async (
  topic: Topic<ConfigEntry>,
  partitions: number,
  reader: ChangelogReader,
  prepare: (values: readonly (Buffer | null)[]) => Promise<void>,
): Promise<ReadonlyMap<string, ConfigEntry>> => {
  const records: RawRecord[] = [];
  for (let partition = 0; partition < partitions; partition++) {
    await reader.read({ topic: topic.name, partition }, (record) => records.push(record));
  }
  await prepare(records.map(({ value }) => value));
  const entries = new Map<string, ConfigEntry>();
  for (const { key, value } of records) {
    const name = key?.toString('utf8') ?? '';
    if (value === null) entries.delete(name);
    else entries.set(name, topic.codec.decode(value));
  }
  return entries;
};
