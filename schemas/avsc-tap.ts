/**
 * avsc does not publish the shape of its taps, nor of the methods that a type of one's own overrides. Both are stated
 * here, once, which is why its version is pinned exactly.
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

/** A type, or a resolver into one. */
export interface Reader {
  _read(tap: Tap): unknown;
}
export interface Inner extends Reader {
  _write(tap: Tap, value: unknown): void;
  _skip(tap: Tap): void;
  _check(value: unknown, flags: unknown, hook: unknown, path: unknown): boolean;
}
export interface Resolving {
  _read: ((tap: Tap) => unknown) | null;
}

/** A reading that our limits refuse; becomes `undecodable`. */
export class Malformed extends Error {}
