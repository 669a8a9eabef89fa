import avsc from 'avsc';
import { BoundedArray, BoundedMap, Nullable } from './avsc-containers.js';
import { BigIntLong, CheckedInt, NumberLong } from './avsc-numbers.js';
import type { Tap } from './avsc-tap.js';
import { KeptBytes } from './kept-bytes.js';

type Write = (this: unknown, tap: Tap, value: unknown) => void;
type Read = (this: unknown, tap: Tap) => unknown;
const generated = avsc.types.RecordType.prototype as unknown as {
  _createWriter(this: unknown): Write;
  _createReader(this: unknown): Read;
};

/** A record that later records embed: it keeps the bytes it was read from, and is written by copying kept ones. */
class EmbeddedRecord extends avsc.types.RecordType {
  _createReader(): Read {
    const read = generated._createReader.call(this);
    return (tap) => {
      const start = tap.pos;
      const value = read.call(this, tap) as object;
      KeptBytes.keep(value, this, tap.buf, start, tap.pos);
      return value;
    };
  }
  _createWriter(): Write {
    const write = generated._createWriter.call(this);
    return (tap, value) => {
      if (typeof value === 'object' && value !== null) {
        const end = KeptBytes.copy(value, this, tap.buf, tap.pos);
        if (end >= 0) {
          tap.pos = end;
          return;
        }
      }
      write.call(this, tap, value);
    };
  }
}

/** Whether values of this type keep their bytes. */
export const keepsBytes = (type: avsc.Type): boolean => type instanceof EmbeddedRecord;

type Registry = Record<string, avsc.Type>;
interface Node {
  readonly type?: unknown;
  readonly name?: string;
  readonly namespace?: string;
  readonly logicalType?: string;
}

const fullName = (node: Node): string | undefined =>
  node.name === undefined || node.namespace === undefined
    ? node.name
    : `${node.namespace}.${node.name}`;

const NONE: ReadonlySet<string> = new Set();
const BIGINTS: ReadonlySet<unknown> = new Set(['micros', 'bigint']);
const asType = (made: unknown): avsc.Type => made as avsc.Type;

const longOf = (logicalType: string | undefined): avsc.Type =>
  asType(BIGINTS.has(logicalType) ? BIGINT_LONG : NUMBER_LONG);
const NUMBER_LONG = new NumberLong();
const BIGINT_LONG = new BigIntLong();
const INT = new CheckedInt();

/**
 * The avsc type of a schema. `registry` holds named types met before, which the schema may name or define again;
 * `embedded` names the records that keep their bytes.
 */
export const avscType = (
  schema: unknown,
  registry: Registry,
  embedded: ReadonlySet<string> = NONE,
): avsc.Type =>
  avsc.Type.forSchema(schema as never, {
    registry,
    // Ours are never ambiguous; a foreign writer's may be, and are only read through.
    wrapUnions: 'auto',
    omitRecordMethods: true,
    typeHook: (raw, options) => {
      if (raw === 'long') return asType(NUMBER_LONG);
      if (raw === 'int') return asType(INT);
      if (Array.isArray(raw))
        return raw.length === 2 && raw[0] === 'null'
          ? asType(new Nullable(raw, options))
          : undefined;
      if (typeof raw !== 'object') return undefined;
      const node = raw as Node;
      if (node.type === 'long') return longOf(node.logicalType);
      if (node.type === 'int') return asType(INT);
      if (node.type === 'array') return asType(new BoundedArray(raw, options));
      if (node.type === 'map') return asType(new BoundedMap(raw, options));
      const name = fullName(node);
      if (name !== undefined && registry[name] !== undefined) return registry[name];
      if (node.type === 'record' && name !== undefined && embedded.has(name))
        return asType(new EmbeddedRecord(raw, options));
      return undefined;
    },
  });
