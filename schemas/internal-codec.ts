import { PipelineError, asError } from './error.js';
import type { Format } from './formats.js';
import type { Codec } from './record.js';
import { releaseVersion } from './root.js';

/**
 * Values of internal topics (changelogs): one byte of format version, three of the release that wrote them (major,
 * minor, patch), then the payload. An older worker that meets a newer format stops and names the release.
 */
export const HEADER_BYTES = 4;
/** Of some first versions: theirs alone. */
const BARE_BYTES = 1;

/** What stands before the payload of a value in a format of our own. */
export interface Header {
  /** In what is written. */
  readonly bytes: number;
  readonly write: (value: Buffer) => void;
  /**
   * Where the payload begins, whichever release wrote it.
   * @throws PipelineError `state_too_new`, which stops the worker and names the writer; `undecodable` without a header
   */
  readonly read: (value: Buffer) => number;
}

let ours: readonly number[] | null = null;
/** Major, minor, patch; read once, as each partition makes headers. */
const release = (): readonly number[] =>
  (ours ??= releaseVersion()
    .split(/[.-]/)
    .slice(0, HEADER_BYTES - 1)
    .map(Number));

const tooNew = (bytes: Buffer, reads: number): PipelineError => {
  const writer = [...bytes.subarray(1, HEADER_BYTES)].join('.');
  return new PipelineError(
    'state_too_new',
    `this state is in format ${bytes[0] ?? 0}, written by Millrace ${writer}; we read up to format ${reads}. ` +
      `Run Millrace ${writer} or later`,
  );
};

/** @param bare up to this version the version's byte stands alone, without the release; default 0: none is so old */
export const headerOf = ({ writes, reads }: Format, bare = 0): Header => {
  if (!(Number.isInteger(writes) && writes >= 1 && writes <= reads && reads <= 255))
    throw new Error(`format versions are 1..255, written ones read too, not ${writes}, ${reads}`);
  const bytesOf = (version: number): number => (version <= bare ? BARE_BYTES : HEADER_BYTES);
  const header = Buffer.from([writes, ...release()]).subarray(0, bytesOf(writes));
  return {
    bytes: header.length,
    write: (value) => {
      header.copy(value);
    },
    read: (value) => {
      const version = value[0] ?? 0;
      const bytes = bytesOf(version);
      if (version === 0 || value.length < bytes)
        throw new PipelineError('undecodable', 'internal state without its header');
      if (version > reads) throw tooNew(value, reads);
      return bytes;
    },
  };
};

/** What a payload of another version that is read decodes to, as the value of the one that is written. */
export type Translate<V> = (other: unknown, version: number) => V;

/** A codec of our own format: `encode` leaves HEADER_BYTES free in front, `decode` is given all bytes. */
export const versioned = <V>(
  format: Format,
  encode: (value: V) => Buffer,
  decode: (bytes: Buffer) => unknown,
  translate: Translate<V> | undefined,
): Codec<V> => {
  const header = headerOf(format);
  return {
    encode: (value) => {
      const bytes = encode(value);
      header.write(bytes);
      return bytes;
    },
    decode: (bytes) => {
      header.read(bytes);
      const value = decode(bytes);
      const version = bytes[0] ?? 0;
      if (version === format.writes) return value as V;
      if (translate !== undefined) return translate(value, version);
      throw new PipelineError(
        'defect',
        `state format ${version} is read, and nothing translates it`,
      );
    },
  };
};

const BIGINT = '$bigint';

const tagged = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? { [BIGINT]: value.toString() } : value;

const untagged = (_key: string, value: unknown): unknown => {
  if (typeof value !== 'object' || value === null || !(BIGINT in value)) return value;
  return typeof value[BIGINT] === 'string' ? BigInt(value[BIGINT]) : value;
};

/** State as JSON, with bigints; no Buffers, Dates, Maps or undefined. Each change of V is another version. */
export const internalJson = <V>(format: Format, translate?: Translate<V>): Codec<V> =>
  versioned(
    format,
    (value) => {
      const text = JSON.stringify(value, tagged);
      const bytes = Buffer.allocUnsafe(HEADER_BYTES + Buffer.byteLength(text));
      bytes.write(text, HEADER_BYTES);
      return bytes;
    },
    (bytes) => {
      const text = bytes.toString('utf8', HEADER_BYTES);
      try {
        // A reviver makes parsing several times slower: only where there is something to revive.
        return text.includes(`"${BIGINT}"`) ? JSON.parse(text, untagged) : JSON.parse(text);
      } catch (cause) {
        throw new PipelineError('undecodable', `internal state: ${asError(cause).message}`, cause);
      }
    },
    translate,
  );
