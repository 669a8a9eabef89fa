import avsc from 'avsc';
import { Malformed, type Resolving, type Tap } from './avsc-tap.js';

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
export class BigIntLong extends avsc.types.LongType {
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
export class NumberLong extends avsc.types.LongType {
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
export class CheckedInt extends avsc.types.IntType {
  _read(tap: Tap): number {
    const value = tap.readLong();
    return value === (value | 0) ? value : overflowed();
  }
}
