import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PipelineError } from './error.js';
import { idBatchCodec } from './id-batch.js';

const codec = idBatchCodec();
const ids = Buffer.from('00112233445566778899aabbccddeeff'.repeat(3), 'hex');
const code = (run: () => unknown): unknown => {
  try {
    return run();
  } catch (error) {
    return error instanceof PipelineError ? error.code : error;
  }
};

test('a batch comes back as it was, 16 bytes an id and 12 for all of them', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 16, maxLength: 16 }), { maxLength: 50 }),
      fc.maxSafeNat(),
      (list, addedAt) => {
        const packed = Buffer.concat(list);
        const bytes = codec.encode({ addedAt, ids: packed });
        expect(bytes).toHaveLength(12 + list.length * 16);
        expect(codec.decode(bytes)).toEqual({ addedAt, ids: packed });
      },
    ),
  );
});

test('the first bytes are the format and the release, as in all internal values: a newer format stops the worker', () => {
  const bytes = codec.encode({ addedAt: 1, ids });
  expect(bytes[0]).toBe(1);
  bytes[0] = 2;
  expect(code(() => codec.decode(bytes))).toBe('state_too_new');
});

test('cut bytes are an error, never fewer ids', () => {
  const bytes = codec.encode({ addedAt: 1, ids });
  for (const length of [0, 3, 11, 13, bytes.length - 1])
    expect(code(() => codec.decode(bytes.subarray(0, length)))).toBe('undecodable');
  expect(code(() => codec.encode({ addedAt: 1, ids: ids.subarray(1) }))).toBe('unencodable');
});
