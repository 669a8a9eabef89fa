import avsc from 'avsc';
import { type Inner, Malformed, type Reader, type Tap } from './avsc-tap.js';

/*
 * avsc trusts the bytes it reads: an array that claims 10^12 items keeps it busy for hours, and a negative block size
 * sends it round in circles. One bad record must not do that to a lane.
 */

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

export class BoundedArray extends avsc.types.ArrayType {
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

export class BoundedMap extends avsc.types.MapType {
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
export class Nullable extends avsc.types.UnwrappedUnionType {
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
