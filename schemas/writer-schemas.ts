import type { Type } from 'avsc';
import { avscType } from './avsc-types.js';
import { PipelineError, asError } from './error.js';
import { schemaIdOf } from './frame.js';

/** A schema as a registry answers it; `references` come before it, each defining names that later ones use. */
export interface RegisteredSchema {
  /** AVRO, JSON or PROTOBUF. */
  readonly kind: string;
  readonly text: string;
  readonly references: readonly string[];
}

/** What is known of the schema behind an id. */
export type WriterSchema =
  | { readonly is: 'known'; readonly type: Type }
  | { readonly is: 'unusable'; readonly why: string }
  | { readonly is: 'absent'; readonly untilMs: number };

/** Schemas that other writers used, by the registry's id. */
export interface WriterSchemas {
  /** What is known by now; undefined where prepare was never asked. */
  readonly get: (id: number) => WriterSchema | undefined;
  /**
   * Fetches what these values need and is not known. At once where nothing is missing.
   * @throws PipelineError `registry_unavailable`: wait and try the same batch again; nothing may be skipped.
   */
  readonly prepare: (values: readonly (Buffer | null | undefined)[]) => Promise<void>;
}

/** How long a 404 is believed: a producer may register its schema just after its first message. */
const ABSENT_FOR_MS = 30_000;
/** Garbage that happens to look framed brings an id each; they must not fill memory or flood the registry. */
const MOST_ABSENT = 10_000;
const FETCHED_AT_ONCE = 8;

const parsed = (schema: RegisteredSchema): WriterSchema => {
  if (schema.kind !== 'AVRO') return { is: 'unusable', why: `a ${schema.kind} schema, not Avro` };
  try {
    const registry: Record<string, Type> = {};
    for (const reference of schema.references) avscType(JSON.parse(reference), registry);
    return { is: 'known', type: avscType(JSON.parse(schema.text), registry) };
  } catch (thrown) {
    return { is: 'unusable', why: `not an Avro schema: ${asError(thrown).message}` };
  }
};

export const writerSchemas = (
  fetchSchema: (id: number) => Promise<RegisteredSchema | null>,
  now: () => number = Date.now,
): WriterSchemas => {
  const known = new Map<number, WriterSchema>();
  const absent = new Map<number, WriterSchema & { readonly is: 'absent' }>();

  const fetchOne = async (id: number): Promise<void> => {
    const schema = await fetchSchema(id);
    if (schema !== null) {
      known.set(id, parsed(schema));
      absent.delete(id);
      return;
    }
    if (absent.size >= MOST_ABSENT) absent.clear();
    absent.set(id, { is: 'absent', untilMs: now() + ABSENT_FOR_MS });
  };

  const isMissing = (id: number): boolean => {
    if (known.has(id)) return false;
    const gone = absent.get(id);
    return gone === undefined || gone.untilMs <= now();
  };

  const missingIn = (values: readonly (Buffer | null | undefined)[]): Set<number> | null => {
    let missing: Set<number> | null = null;
    let last = -1;
    for (const value of values) {
      const id = schemaIdOf(value);
      if (id === last || id < 0) continue;
      last = id;
      if (isMissing(id)) (missing ??= new Set()).add(id);
    }
    return missing;
  };

  const fetchAll = async (ids: readonly number[]): Promise<void> => {
    for (let first = 0; first < ids.length; first += FETCHED_AT_ONCE)
      await Promise.all(ids.slice(first, first + FETCHED_AT_ONCE).map(fetchOne));
  };

  return {
    get: (id) => known.get(id) ?? absent.get(id),
    prepare: async (values) => {
      const missing = missingIn(values);
      if (missing !== null) await fetchAll([...missing]);
    },
  };
};

/** An id that nobody prepared is our own fault, not the record's. */
export const unprepared = (id: number): PipelineError =>
  new PipelineError('defect', `schema id ${id} was not prepared before decoding`);
