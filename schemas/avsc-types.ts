import avsc from 'avsc';
import { KeptBytes } from './kept-bytes.js';

/**
 * Our own Avro types on top of avsc's. avsc trusts the bytes it reads: an array that claims 10^12 items keeps it
 * busy for hours, a negative block size sends it round in circles, and longs beyond 2^52 lose their sign bit. A
 * single bad record must never do that to a lane.
 *
 * avsc does not publish the shape of its taps and of the methods that types override; both are stated here once,
 * which is why its version is pinned exactly.
 */
export interface Tap {
  readonly buf: Buffer;
  pos: number;
  readLong(): number;
  writeLong(value: number): void;
  skipLong(): void;
  readString(): string;
  skipString(): void;
}

interface Reader {
  _read(tap: Tap): unknown;
}
interface Inner extends Reader {
  _write(tap: Tap, value: unknown): void;
  _skip(tap: Tap): void;
}
interface Resolving {
  _read: ((tap: Tap) => unknown) | null;
}

/** A reading that our limits refuse; becomes `undecodable`. */
class Malformed extends Error {}

/** avsc reads and writes exactly up to here; beyond it, zigzag values leave the doubles it computes with. */
const EXACT = 2 ** 51;
const LONGEST_VARINT = 10;

const readInt64 = (tap: Tap): bigint => {
  let zigzag = 0n;
  for (let index = 0; index < LONGEST_VARINT; index++) {
    const byte = tap.buf[tap.pos++];
    if (byte === undefined) throw new Malformed('truncated long');
    zigzag |= BigInt(byte & 0x7f) << BigInt(7 * index);
    if (byte < 0x80) return BigInt.asIntN(64, (zigzag >> 1n) ^ -(zigzag & 1n));
  }
  throw new Malformed('long of more than 10 bytes');
};

const writeInt64 = (tap: Tap, value: bigint): void => {
  let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
  while (rest > 0x7fn) {
    tap.buf[tap.pos++] = Number(rest & 0x7fn) | 0x80;
    rest >>= 7n;
  }
  tap.buf[tap.pos++] = Number(rest);
};

const misfit = (): never => {
  // Never the value: it may be personal data, and this message is logged.
  throw new Error('value does not fit its Avro type');
};

/** Long as bigint: money and counters. */
class BigIntLong extends avsc.types.LongType {
  _check(value: unknown, _flags: unknown, hook?: (value: unknown, type: unknown) => void): boolean {
    const fits = typeof value === 'bigint' && BigInt.asIntN(64, value) === value;
    if (!fits && hook !== undefined) hook(value, this);
    return fits;
  }
  _read(tap: Tap): bigint {
    const start = tap.pos;
    const near = tap.readLong();
    if (near < EXACT && near > -EXACT) return BigInt(near);
    tap.pos = start;
    return readInt64(tap);
  }
  _write(tap: Tap, value: unknown): void {
    if (typeof value !== 'bigint' || BigInt.asIntN(64, value) !== value) return misfit();
    const near = Number(value);
    if (near < EXACT && near > -EXACT) tap.writeLong(near);
    else writeInt64(tap, value);
  }
  /** avsc converts schema defaults with this: JSON numbers to bigint. */
  _copy(value: unknown): bigint {
    return typeof value === 'number' || typeof value === 'bigint' ? BigInt(value) : misfit();
  }
  _update(resolver: Resolving, writer: avsc.Type): void {
    // An int is written as a long is.
    if (writer.typeName === 'int' || writer.typeName === 'long')
      resolver._read = this._read.bind(this);
  }
}

/** Long as number, for times, counts and offsets: only what a number holds exactly. */
class NumberLong extends avsc.types.LongType {
  _read(tap: Tap): number {
    const start = tap.pos;
    const near = tap.readLong();
    if (near < EXACT && near > -EXACT) return near;
    tap.pos = start;
    const value = Number(readInt64(tap));
    return Number.isSafeInteger(value) ? value : overflowed();
  }
  _write(tap: Tap, value: unknown): void {
    if (!Number.isSafeInteger(value)) return misfit();
    const near = value as number;
    if (near < EXACT && near > -EXACT) tap.writeLong(near);
    else writeInt64(tap, BigInt(near));
  }
  _update(resolver: Resolving, writer: avsc.Type): void {
    if (writer.typeName === 'int' || writer.typeName === 'long')
      resolver._read = this._read.bind(this);
  }
}

const overflowed = (): never => {
  throw new Malformed('number beyond its type');
};

/** Int: exactly 32 bits, which avsc checks only when it writes. */
class CheckedInt extends avsc.types.IntType {
  _read(tap: Tap): number {
    const value = tap.readLong();
    return value === (value | 0) ? value : overflowed();
  }
}

/** Items of the next block; never more than there are bytes left, as none of our item types takes no bytes. */
const blockLength = (tap: Tap): number => {
  let items = tap.readLong();
  if (items < 0) {
    items = -items;
    tap.skipLong();
  }
  if (!(items <= tap.buf.length - tap.pos)) throw new Malformed('more items than bytes');
  return items;
};

/** Skips the blocks of an array or map, by their size where it is given. */
const skipBlocks = (tap: Tap, skipItem: () => void): void => {
  for (let items = tap.readLong(); items !== 0; items = tap.readLong()) {
    const left = tap.buf.length - tap.pos;
    if (items < 0) {
      const size = tap.readLong();
      if (!(size >= 0 && size <= left)) throw new Malformed('block of impossible size');
      tap.pos += size;
    } else {
      if (!(items <= left)) throw new Malformed('more items than bytes');
      while (items-- > 0) skipItem();
    }
  }
};

class BoundedArray extends avsc.types.ArrayType {
  /** `this` is the type itself or a resolver into it: both have itemsType. */
  _read(this: { readonly itemsType: unknown }, tap: Tap): unknown[] {
    const items = this.itemsType as Reader;
    const values: unknown[] = [];
    for (let count = blockLength(tap); count > 0; count = blockLength(tap))
      while (count-- > 0) values.push(items._read(tap));
    return values;
  }
  _skip(tap: Tap): void {
    const items = this.itemsType as unknown as Inner;
    skipBlocks(tap, () => {
      items._skip(tap);
    });
  }
}

class BoundedMap extends avsc.types.MapType {
  _read(this: { readonly valuesType: unknown }, tap: Tap): Record<string, unknown> {
    const values = this.valuesType as Reader;
    const map: Record<string, unknown> = {};
    for (let count = blockLength(tap); count > 0; count = blockLength(tap))
      while (count-- > 0) {
        const key = tap.readString();
        const value = values._read(tap);
        // Assigned, this key would set the prototype and lose the entry.
        if (key === '__proto__')
          Object.defineProperty(map, key, {
            value,
            enumerable: true,
            configurable: true,
            writable: true,
          });
        else map[key] = value;
      }
    return map;
  }
  _skip(tap: Tap): void {
    const values = this.valuesType as Inner;
    skipBlocks(tap, () => {
      tap.skipString();
      values._skip(tap);
    });
  }
}

/** ["null", X] as X | null. avsc's own looks for the branch of each value it writes; here only null is looked for. */
class Nullable extends avsc.types.UnwrappedUnionType {
  _check(value: unknown, flags: unknown, hook: unknown, path: unknown): boolean {
    if (value === null) return true;
    const inner = this.types[1] as unknown as {
      _check(value: unknown, flags: unknown, hook: unknown, path: unknown): boolean;
    };
    return inner._check(value, flags, hook, path);
  }
  _read(tap: Tap): unknown {
    const branch = tap.readLong();
    if (branch === 0) return null;
    if (branch !== 1) throw new Malformed('no such branch of a union');
    return (this.types[1] as unknown as Inner)._read(tap);
  }
  _write(tap: Tap, value: unknown): void {
    if (value === null) tap.writeLong(0);
    else {
      tap.writeLong(1);
      (this.types[1] as unknown as Inner)._write(tap, value);
    }
  }
  _skip(tap: Tap): void {
    const branch = tap.readLong();
    if (branch === 1) (this.types[1] as unknown as Inner)._skip(tap);
    else if (branch !== 0) throw new Malformed('no such branch of a union');
  }
}

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
          ? asType(new Nullable(raw as never, options))
          : undefined;
      if (typeof raw !== 'object') return undefined;
      const node = raw as Node;
      if (node.type === 'long') return longOf(node.logicalType);
      if (node.type === 'int') return asType(INT);
      if (node.type === 'array') return asType(new BoundedArray(raw as never, options));
      if (node.type === 'map') return asType(new BoundedMap(raw as never, options));
      const name = fullName(node);
      if (name !== undefined && registry[name] !== undefined) return registry[name];
      if (node.type === 'record' && name !== undefined && embedded.has(name))
        return asType(new EmbeddedRecord(raw as never, options));
      return undefined;
    },
  });
