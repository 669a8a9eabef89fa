import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { internalJson } from './internal-codec.js';
import { arbitraryRecord } from './testing/arbitrary-record.js';
import { memoryCodecs } from './topic-codecs.js';

interface Spent {
  readonly account: string;
  readonly micros: bigint;
}

describe('internal state', () => {
  test('JSON keeps bigints, and starts with its format version', () => {
    const codec = internalJson<Spent>(3);
    const value = { account: 'acme/promotions', micros: 2n ** 60n + 1n };
    const bytes = codec.encode(value);
    expect(bytes[0]).toBe(3);
    expect(codec.decode(bytes)).toEqual(value);
  });

  test('a newer format stops the worker and names the release that wrote it', () => {
    const bytes = internalJson<Spent>(2).encode({ account: 'a', micros: 1n });
    bytes[1] = 1;
    bytes[2] = 4;
    bytes[3] = 2;
    const read = () => internalJson<Spent>(1).decode(bytes);
    expect(read).toThrow(expect.objectContaining({ code: 'state_too_new', verdict: 'stop' }));
    expect(read).toThrow(/format 2, written by Millrace 1\.4\.2/);
  });

  test('an older format goes through its upgrade', () => {
    const bytes = internalJson<number>(1).encode(7);
    const codec = internalJson<Spent>(2, (older) => ({
      account: 'a',
      micros: BigInt(Number(older)),
    }));
    expect(codec.decode(bytes)).toEqual({ account: 'a', micros: 7n });
  });

  test('Avro may embed our records, whose bytes it copies', () => {
    const codecs = memoryCodecs();
    const routed = codecs.of('MessageRouted', 'routed.sms.p0');
    const claims = codecs.internal<{ routed: unknown; deadline: number }>(1, {
      type: 'record',
      name: 'Claim',
      namespace: 'millrace.internal',
      fields: [
        { name: 'routed', type: 'millrace.MessageRouted' },
        { name: 'deadline', type: 'long' },
      ],
    });
    fc.assert(
      fc.property(arbitraryRecord('MessageRouted'), fc.nat(), (value, deadline) => {
        const claim = { routed: routed.decode(routed.encode(structuredClone(value))), deadline };
        const bytes = claims.encode(claim);
        expect(bytes).toEqual(claims.encode({ routed: structuredClone(value), deadline }));
        expect(claims.decode(bytes)).toEqual({ routed: value, deadline });
      }),
      { numRuns: 30 },
    );
  });
});
