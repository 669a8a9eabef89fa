import { asError } from '../../schemas/error.js';
import type { RecordTypes } from '../../schemas/record-types.js';
import type { Codecs } from '../../schemas/topic-codecs.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import type { RangeRequest } from '../../topologies/runtime/range-reader.js';
import { readRange } from '../../topologies/runtime/range-reader.js';
import type { RawRecord } from '../../topologies/runtime/raw-record.js';

/** A value with its record's name, told apart by it. `Unreadable`: a tombstone, or what no reader can decode. */
export type DecodedValue =
  | {
      [N in keyof RecordTypes]: { readonly is: N; readonly value: RecordTypes[N] };
    }[keyof RecordTypes]
  | { readonly is: 'Unreadable'; readonly why: string };

export type Decoded = RawRecord & { readonly decoded: DecodedValue };

export interface DecodedRange extends Omit<RangeRequest, 'topics'> {
  readonly topics: readonly TopicSpec[];
  readonly codecs: Codecs;
  /** Which records are worth decoding; default all. Decoding costs ten times what reading does. */
  readonly only?: (record: RawRecord) => boolean;
}

/** Records of topics with their values, in batches. Topics without a schema come as Unreadable, bytes and all. */
export async function* readDecoded(range: DecodedRange): AsyncGenerator<readonly Decoded[]> {
  const { topics, codecs, only = () => true, ...rest } = range;
  const specs = new Map(topics.map((spec) => [spec.name, spec]));
  for await (const all of readRange({ ...rest, topics: topics.map((spec) => spec.name) })) {
    const batch = all.filter(only);
    if (batch.length === 0) continue;
    await codecs.prepare(
      batch.filter(({ at }) => specs.get(at.topic)?.record != null).map(({ value }) => value),
    );
    yield batch.map((record) => ({
      ...record,
      decoded: decode(record, specs.get(record.at.topic), codecs),
    }));
  }
}

const decode = (
  { value, at }: RawRecord,
  spec: TopicSpec | undefined,
  codecs: Codecs,
): DecodedValue => {
  const name = spec?.record ?? null;
  if (name === null) return { is: 'Unreadable', why: 'a topic without a schema' };
  if (value === null) return { is: 'Unreadable', why: 'a tombstone' };
  try {
    return { is: name, value: codecs.of(name, at.topic).decode(value) } as DecodedValue;
  } catch (thrown) {
    return { is: 'Unreadable', why: asError(thrown).message };
  }
};
