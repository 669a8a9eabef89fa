import type { Type } from 'avsc';
import { avroRead, avroWriter } from './avro-codec.js';
import { PipelineError, asError } from './error.js';
import type { Codec } from './record.js';
import { releaseVersion } from './root.js';

/**
 * Values of internal topics (changelogs): one byte of format version, three of the release that wrote them (major,
 * minor, patch), then the payload. An older worker that meets a newer format stops and names the release.
 */
export const HEADER_BYTES = 4;

/** What an older format's payload decodes to, as this version's value. */
export type Upgrade<V> = (older: unknown, version: number) => V;

const release = (): readonly [number, number, number] => {
  const [major = 0, minor = 0, patch = 0] = releaseVersion().split(/[.-]/).map(Number);
  return [major, minor, patch];
};

const tooNew = (bytes: Buffer, version: number): PipelineError => {
  const writer = [...bytes.subarray(1, HEADER_BYTES)].join('.');
  return new PipelineError(
    'state_too_new',
    `this state is in format ${bytes[0] ?? 0}, written by Millrace ${writer}; we read up to format ${version}. ` +
      `Run Millrace ${writer} or later`,
  );
};

/** A codec of our own format: `encode` leaves HEADER_BYTES free in front, `decode` is given all bytes. */
export const versioned = <V>(
  version: number,
  encode: (value: V) => Buffer,
  decode: (bytes: Buffer) => unknown,
  upgrade: Upgrade<V> | undefined,
): Codec<V> => {
  if (!Number.isInteger(version) || version < 1 || version > 255)
    throw new Error(`a format version is 1..255, not ${version}`);
  const [major, minor, patch] = release();
  return {
    encode: (value) => {
      const bytes = encode(value);
      bytes[0] = version;
      bytes[1] = major;
      bytes[2] = minor;
      bytes[3] = patch;
      return bytes;
    },
    decode: (bytes) => {
      const found = bytes[0];
      if (found === undefined || bytes.length < HEADER_BYTES)
        throw new PipelineError('undecodable', 'internal state without its header');
      if (found > version) throw tooNew(bytes, version);
      const value = decode(bytes);
      if (found === version) return value as V;
      if (upgrade !== undefined) return upgrade(value, found);
      throw new PipelineError('defect', `no upgrade from state format ${found} to ${version}`);
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

/** State as JSON, with bigints; no Buffers, Dates, Maps or undefined. `version` starts at 1 and grows with each change of V. */
export const internalJson = <V>(version: number, upgrade?: Upgrade<V>): Codec<V> =>
  versioned(
    version,
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
    upgrade,
  );

/**
 * State in Avro. It carries no schema: `version` must grow with every change of the type, and of every record that
 * it embeds.
 */
export const internalAvro = <V>(version: number, type: Type): Codec<V> => {
  const name = type.name ?? 'internal state';
  return versioned<V>(
    version,
    avroWriter(type, name, HEADER_BYTES),
    (bytes) => avroRead(type, name, bytes, HEADER_BYTES, null),
    undefined,
  );
};
