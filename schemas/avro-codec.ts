import type { Type } from 'avsc';
import { keepsBytes } from './avsc-types.js';
import { PipelineError, asError } from './error.js';
import { FRAME_BYTES, isFramed, writeFrame } from './frame.js';
import { KeptBytes } from './kept-bytes.js';
import type { Codec } from './record.js';
import { type WriterSchemas, unprepared } from './writer-schemas.js';

/** avsc has no type for what createResolver answers. */
type Resolver = ReturnType<Type['createResolver']>;

const FIRST_SCRATCH_BYTES = 4_096;
const LARGEST_KEPT_SCRATCH_BYTES = 256 * 1_024;

/** Writes values of one type, each into a buffer of its own that begins with `prefixBytes` free bytes. */
export const avroWriter = (
  type: Type,
  name: string,
  prefixBytes: number,
): ((value: unknown) => Buffer) => {
  let scratch = Buffer.allocUnsafe(FIRST_SCRATCH_BYTES);
  const misfit = (value: unknown): PipelineError => {
    const paths: string[] = [];
    type.isValid(value, { errorHook: (path) => paths.push(path.join('.')) });
    // Neither the value nor the library's message, which quotes it: both may hold personal data.
    return new PipelineError(
      'unencodable',
      `${name} does not fit its schema${paths.length === 0 ? '' : ` at ${paths.join(', ').slice(0, 200)}`}`,
    );
  };
  return (value) => {
    let target = scratch;
    for (;;) {
      let end: number;
      try {
        end = type.encode(value, target, prefixBytes);
      } catch {
        throw misfit(value);
      }
      if (end >= 0) {
        const bytes = Buffer.allocUnsafe(end);
        target.copy(bytes, prefixBytes, prefixBytes, end);
        return bytes;
      }
      // avsc answers the negative number of bytes that were missing.
      target = Buffer.allocUnsafe((target.length - end) * 2);
      if (target.length <= LARGEST_KEPT_SCRATCH_BYTES) scratch = target;
    }
  };
};

/** Reads a whole buffer from `position` on. @throws PipelineError `undecodable`. */
export const avroRead = (
  type: Type,
  name: string,
  bytes: Buffer,
  position: number,
  resolver: Resolver | null,
): unknown => {
  let read: { value: unknown; offset: number };
  try {
    read =
      resolver === null ? type.decode(bytes, position) : type.decode(bytes, position, resolver);
  } catch (cause) {
    throw new PipelineError('undecodable', `not a ${name}: ${asError(cause).message}`, cause);
  }
  if (read.offset === bytes.length) return read.value;
  throw new PipelineError(
    'undecodable',
    read.offset < 0
      ? `truncated ${name}`
      : `${bytes.length - read.offset} bytes too many after a ${name}`,
  );
};

export interface AvroCodecOptions {
  /** For messages, e.g. MessageRouted. */
  readonly name: string;
  /** What values are read into. */
  readonly type: Type;
  /** The id of `writtenBy`, for what we write ourselves. */
  readonly schemaId: number;
  /** The type behind schemaId; `type` itself but for projections. */
  readonly writtenAs: Type;
  readonly writers: WriterSchemas;
}

/** Decodes framed values of any writer schema that resolves to ours; see Codec for the errors. */
const framedReader = (options: AvroCodecOptions): ((bytes: Buffer | null) => unknown) => {
  const { name, type, writtenAs, schemaId, writers } = options;
  const fingerprint = type.fingerprint('sha256');
  /** By schema id; null: read directly, no resolver. */
  const resolvers = new Map<number, Resolver | null | PipelineError>();

  const resolverFrom = (writer: Type): Resolver | null | PipelineError => {
    // Java registers the same schema with avro.java.string under another id; canonically they are one.
    if (writer.fingerprint('sha256').equals(fingerprint)) return null;
    try {
      return type.createResolver(writer);
    } catch (cause) {
      return new PipelineError(
        'unresolvable_schema',
        `cannot read ${writer.name ?? writer.typeName} as ${name}: ${asError(cause).message}`,
        cause,
      );
    }
  };

  const resolverOf = (id: number): Resolver | null | PipelineError => {
    const writer = writers.get(id);
    if (writer === undefined) return unprepared(id);
    switch (writer.is) {
      case 'absent':
        return new PipelineError('unknown_schema', `the registry knows no schema ${id}`);
      case 'unusable':
        return new PipelineError('unresolvable_schema', `schema ${id} is ${writer.why}`);
      case 'known': {
        const resolver = resolverFrom(writer.type);
        resolvers.set(id, resolver);
        return resolver;
      }
    }
  };
  resolvers.set(schemaId, resolverFrom(writtenAs));

  return (bytes) => {
    if (bytes === null || bytes.length === 0)
      throw new PipelineError('tombstone', `an empty value is no ${name}`);
    if (!isFramed(bytes))
      throw new PipelineError('not_framed', 'not in the Confluent wire format (0, id, Avro)');
    const id = bytes.readUInt32BE(1);
    let resolver = resolvers.get(id);
    if (resolver === undefined) resolver = resolverOf(id);
    if (resolver instanceof PipelineError) throw resolver;
    return avroRead(type, name, bytes, FRAME_BYTES, resolver);
  };
};

/** Codec of a topic's record, in our schema. */
export const avroCodec = <V>(options: AvroCodecOptions): Codec<V> => {
  const { name, type, schemaId } = options;
  const write = avroWriter(type, name, FRAME_BYTES);
  const read = framedReader(options);
  const keeps = keepsBytes(type);
  return {
    encode: (value) => {
      const bytes = write(value);
      writeFrame(bytes, schemaId);
      if (keeps) KeptBytes.keep(value as object, type, bytes, FRAME_BYTES, bytes.length);
      return bytes;
    },
    decode: (bytes) => read(bytes) as V,
  };
};

/** Codec that reads only some fields. Writing through it would lose the others, so it refuses. */
export const projectionCodec = <V>(options: AvroCodecOptions): Codec<V> => {
  const read = framedReader(options);
  return {
    encode: () => {
      throw new PipelineError('unencodable', `a projection of ${options.name} is only for reading`);
    },
    decode: (bytes) => read(bytes) as V,
  };
};
