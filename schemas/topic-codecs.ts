import { avroCodec, projectionCodec } from './avro-codec.js';
import { PipelineError } from './error.js';
import type { Codec } from './record.js';
import { type RecordSchemas, recordSchemas } from './record-schemas.js';
import {
  type Compatibility,
  RECORD_NAMES,
  type RecordName,
  type RecordTypes,
} from './record-types.js';
import { type RegisteredSchema, type WriterSchemas, writerSchemas } from './writer-schemas.js';

/** A topic by its full name (prefix included) and the record on it. */
export interface TopicSchema {
  readonly topic: string;
  readonly record: RecordName;
  /** Where it differs from compatibilityOf(record): e.g. requests that we ourselves put on again.dedupe.pN. */
  readonly compatibility?: Compatibility | undefined;
}

/** TopicNameStrategy. */
export const subjectOf = (topic: string): string => `${topic}-value`;

/** Synchronous codecs for topics whose schema ids were looked up before. */
export interface Codecs {
  /** The whole record. @throws PipelineError `defect` where the topic was never opened. */
  readonly of: <N extends RecordName>(record: N, topic: string) => Codec<RecordTypes[N]>;
  /** Only some fields, the rest is skipped; it cannot encode. Cheaper by about the share of fields left out. */
  readonly project: <N extends RecordName, F extends keyof RecordTypes[N] & string>(
    record: N,
    topic: string,
    fields: readonly F[],
  ) => Codec<Pick<RecordTypes[N], F>>;
  /**
   * Before decoding a batch: fetches writer schemas that are not known yet.
   * @throws PipelineError `registry_unavailable`: wait, then the same batch again.
   */
  readonly prepare: (values: readonly (Buffer | null | undefined)[]) => Promise<void>;
  /** Looks up ids for more topics, e.g. of a channel configured later. Known ones cost nothing. */
  readonly open: (topics: readonly TopicSchema[]) => Promise<void>;
}

/** What codecs ask of a registry; SchemaRegistry fits. */
export interface SchemaSource {
  /** The id of this very schema under the subject, null where it is not registered there. */
  readonly idOf: (subject: string, schema: string) => Promise<number | null>;
  readonly schemaById: (id: number) => Promise<RegisteredSchema | null>;
}

/**
 * Made once a record and topic: tools ask for it per record, and making one costs half a millisecond of hashing (a
 * replay of 101,000 records ran at 1,650/s for it).
 */
const memoised = (make: Codecs['of']): Codecs['of'] => {
  const made = new Map<string, unknown>();
  return <N extends RecordName>(record: N, topic: string): Codec<RecordTypes[N]> => {
    const key = `${record} ${topic}`;
    const known = made.get(key) as Codec<RecordTypes[N]> | undefined;
    if (known !== undefined) return known;
    const codec = make(record, topic);
    made.set(key, codec);
    return codec;
  };
};

const codecsOver = (
  schemas: RecordSchemas,
  writers: WriterSchemas,
  idOf: (record: RecordName, topic: string) => number,
  open: Codecs['open'],
): Codecs => ({
  of: memoised((record, topic) => {
    const type = schemas.typeOf(record);
    return avroCodec({
      name: record,
      type,
      writtenAs: type,
      schemaId: idOf(record, topic),
      writers,
    });
  }),
  project: (record, topic, fields) =>
    projectionCodec({
      name: record,
      type: schemas.projectionOf(record, fields),
      writtenAs: schemas.typeOf(record),
      schemaId: idOf(record, topic),
      writers,
    }),
  prepare: writers.prepare,
  open,
});

/**
 * Looks up our schemas' ids for all topics, and gives codecs.
 * @throws PipelineError `registry_unavailable` (wait), `schema_incompatible` (a schema is not registered: a person must act).
 */
export const openCodecs = async (
  source: SchemaSource,
  topics: readonly TopicSchema[],
): Promise<Codecs> => {
  const schemas = recordSchemas();
  const ids = new Map<string, number>();
  const keyOf = (record: RecordName, topic: string) => `${record} ${topic}`;

  const openOne = async ({ topic, record }: TopicSchema): Promise<string | null> => {
    const key = keyOf(record, topic);
    if (ids.has(key)) return null;
    const id = await source.idOf(subjectOf(topic), schemas.textOf(record));
    if (id === null) return subjectOf(topic);
    ids.set(key, id);
    return null;
  };
  const open = async (more: readonly TopicSchema[]): Promise<void> => {
    const missing = (await Promise.all(more.map(openOne))).filter((subject) => subject !== null);
    if (missing.length > 0)
      throw new PipelineError(
        'schema_incompatible',
        `this release's schema is not registered for ${missing.join(', ')}: run \`millrace schemas register\``,
      );
  };

  await open(topics);
  const idOf = (record: RecordName, topic: string): number => {
    const id = ids.get(keyOf(record, topic));
    if (id === undefined)
      throw new PipelineError('defect', `no schema id was looked up for ${record} on ${topic}`);
    return id;
  };
  const writers = writerSchemas(source.schemaById);
  return codecsOver(schemas, writers, idOf, open);
};

/** Codecs without a registry, for tests and the in-memory driver: each record's id is its place in RECORD_NAMES, from 1. */
export const memoryCodecs = (): Codecs => {
  const schemas = recordSchemas();
  const writers = writerSchemas((id) => {
    const record = RECORD_NAMES[id - 1];
    return Promise.resolve(
      record === undefined ? null : { kind: 'AVRO', text: schemas.textOf(record), references: [] },
    );
  });
  return codecsOver(
    schemas,
    writers,
    (record) => RECORD_NAMES.indexOf(record) + 1,
    () => Promise.resolve(),
  );
};
