import { describe, expect, test } from 'vitest';
import { FORMATS } from './formats.js';
import { headerOf, internalJson } from './internal-codec.js';

interface Spent {
  readonly account: string;
  readonly micros: bigint;
}

describe('internal state', () => {
  test('JSON keeps bigints, and starts with its format version', () => {
    const codec = internalJson<Spent>({ writes: 3, reads: 3 });
    const value = { account: 'acme/promotions', micros: 2n ** 60n + 1n };
    const bytes = codec.encode(value);
    expect(bytes[0]).toBe(3);
    expect(codec.decode(bytes)).toEqual(value);
  });

  test('a format newer than what we read stops the worker and names the release that wrote it', () => {
    const bytes = internalJson<Spent>({ writes: 3, reads: 3 }).encode({ account: 'a', micros: 1n });
    bytes[1] = 1;
    bytes[2] = 4;
    bytes[3] = 2;
    const read = () => internalJson<Spent>({ writes: 1, reads: 2 }).decode(bytes);
    expect(read).toThrow(expect.objectContaining({ code: 'state_too_new', verdict: 'stop' }));
    expect(read).toThrow(/format 3, written by Millrace 1\.4\.2; we read up to format 2/);
  });

  test('of two releases in a row each reads what the other writes', () => {
    const first = internalJson<number>({ writes: 1, reads: 2 }, (newer) =>
      Number((newer as Spent).micros),
    );
    const second = internalJson<Spent>({ writes: 2, reads: 2 }, (older) => ({
      account: 'a',
      micros: BigInt(Number(older)),
    }));
    expect(second.decode(first.encode(7))).toEqual({ account: 'a', micros: 7n });
    expect(first.decode(second.encode({ account: 'a', micros: 7n }))).toBe(7);
  });

  test('a format that is read without being written needs a translation', () => {
    const bytes = internalJson<number>({ writes: 2, reads: 2 }).encode(7);
    const read = () => internalJson<number>({ writes: 1, reads: 2 }).decode(bytes);
    expect(read).toThrow(expect.objectContaining({ code: 'defect' }));
  });

  test.each([Buffer.alloc(0), Buffer.of(1, 0, 0), Buffer.of(0, 0, 1, 0, 0x37)])(
    'bytes that are no value of ours are undecodable: %j',
    (bytes) => {
      const read = () => internalJson<number>({ writes: 1, reads: 1 }).decode(bytes);
      expect(read).toThrow(expect.objectContaining({ code: 'undecodable' }));
    },
  );

  test('every format writes what it reads', () => {
    for (const format of Object.values(FORMATS)) expect(() => headerOf(format)).not.toThrow();
  });
});
