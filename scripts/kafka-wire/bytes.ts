/**
 * Kafka's flexible encoding (KIP-482): compact strings and arrays carry their length plus one as a varint, and every
 * structure ends with tagged fields.
 */
export class WireWriter {
  readonly #parts: Buffer[] = [];

  int8(value: number): this {
    return this.#number(1, (bytes) => bytes.writeInt8(value));
  }
  int16(value: number): this {
    return this.#number(2, (bytes) => bytes.writeInt16BE(value));
  }
  int32(value: number): this {
    return this.#number(4, (bytes) => bytes.writeInt32BE(value));
  }
  int64(value: bigint): this {
    return this.#number(8, (bytes) => bytes.writeBigInt64BE(value));
  }
  /** As header and classic requests have it: two bytes of length. */
  text(value: string): this {
    return this.int16(Buffer.byteLength(value)).raw(Buffer.from(value));
  }
  bytes(value: Buffer): this {
    return this.int32(value.length).raw(value);
  }
  compactText(value: string): this {
    return this.#varint(Buffer.byteLength(value) + 1).raw(Buffer.from(value));
  }
  compactArray<T>(items: readonly T[], write: (item: T, to: this) => void): this {
    this.#varint(items.length + 1);
    for (const item of items) write(item, this);
    return this;
  }
  /** No tagged field is ever sent. */
  endOfFields(): this {
    return this.#varint(0);
  }
  raw(bytes: Buffer): this {
    this.#parts.push(bytes);
    return this;
  }
  done(): Buffer {
    return Buffer.concat(this.#parts);
  }

  #number(size: number, write: (bytes: Buffer) => void): this {
    const bytes = Buffer.alloc(size);
    write(bytes);
    return this.raw(bytes);
  }
  #varint(value: number): this {
    const bytes: number[] = [];
    let rest = value;
    while (rest > 0x7f) {
      bytes.push((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    bytes.push(rest);
    return this.raw(Buffer.from(bytes));
  }
}

/** Reads what WireWriter's counterpart sent. Reading past the end throws a RangeError: the answer is not what we asked for. */
export class WireReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  int16(): number {
    return this.#bytes.readInt16BE(this.#step(2));
  }
  int32(): number {
    return this.#bytes.readInt32BE(this.#step(4));
  }
  int64(): bigint {
    return this.#bytes.readBigInt64BE(this.#step(8));
  }
  text(): string | null {
    const length = this.int16();
    return length < 0 ? null : this.#slice(length).toString();
  }
  bytes(): Buffer {
    return this.#slice(Math.max(0, this.int32()));
  }
  array<T>(read: (from: this) => T): T[] {
    return this.#items(this.int32(), read);
  }
  compactText(): string {
    return this.compactNullableText() ?? '';
  }
  compactNullableText(): string | null {
    const length = this.#varint() - 1;
    return length < 0 ? null : this.#slice(length).toString();
  }
  compactArray<T>(read: (from: this) => T): T[] {
    return this.#items(this.#varint() - 1, read);
  }
  /** Fields that a newer broker may have added. */
  endOfFields(): void {
    for (let left = this.#varint(); left > 0; left -= 1) {
      this.#varint();
      this.#slice(this.#varint());
    }
  }

  #items<T>(count: number, read: (from: this) => T): T[] {
    const items: T[] = [];
    for (let left = count; left > 0; left -= 1) items.push(read(this));
    return items;
  }
  #step(size: number): number {
    const at = this.#at;
    this.#at += size;
    return at;
  }
  #slice(length: number): Buffer {
    const from = this.#step(length);
    if (this.#at > this.#bytes.length) throw new RangeError('the answer ends too early');
    return this.#bytes.subarray(from, this.#at);
  }
  #varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#bytes.readUInt8(this.#step(1));
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw new RangeError('a number of more than 32 bits');
  }
}
