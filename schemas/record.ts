import type { EpochMs } from './brand.js';

/** Where a record lies in Kafka. topic carries its prefix. */
export interface Coordinates {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/** Kafka headers by name; a repeated header keeps its last value. */
export type Headers = Readonly<Record<string, Buffer>>;

/** A record as a stage sees it. `at` is where its chain read it. */
export interface KafkaRecord<V> {
  readonly at: Coordinates;
  readonly key: Buffer | null;
  readonly value: V;
  readonly timestamp: EpochMs;
  readonly headers: Headers;
  /** Bytes of the value as it lies in Kafka. */
  readonly size: number;
}

/**
 * Bytes to value and back. Decoding keeps the value's bytes, so that a record which embeds it first is
 * encoded by appending to them. No methods, so Topic is invariant: a near miss won't fit.
 */
export interface Codec<V> {
  /** @throws PipelineError `unencodable` where the value does not fit the schema. */
  readonly encode: (value: V) => Buffer;
  /** @throws PipelineError `not_framed`, `unknown_schema`, `unresolvable_schema`, `undecodable`: dead letters. */
  readonly decode: (bytes: Buffer) => V;
  /** Where a value holds a registry-framed one inside: that one, whose schema must be known before `decode`. */
  readonly framed?: (bytes: Buffer) => Buffer;
}

/** A topic by its full name (prefix included). */
export interface Topic<V> {
  readonly name: string;
  readonly codec: Codec<V>;
  /** A compacted topic whose empty values are words too (deleted): read as null, not as dead letters. */
  readonly tombstones?: true;
}

/** Topics of one record type, e.g. routed.<channel>.<lane>; pick answers one of all. */
export interface TopicFamily<V> {
  readonly all: readonly Topic<V>[];
  readonly pick: (value: V) => Topic<V>;
}

/** Records of one partition in order, for sinks that store their own offsets with their effect. */
export interface PartitionSlice<V> {
  readonly topic: string;
  readonly partition: number;
  /** The stored next offset that this slice begins from: the condition of the effect. */
  readonly start: number;
  /** The next offset once the slice's effect is stored. */
  readonly next: number;
  readonly records: readonly KafkaRecord<V>[];
}
