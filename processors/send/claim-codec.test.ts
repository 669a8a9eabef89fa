import { expect, test } from 'vitest';
import type { MessageRouted } from '../../schemas/generated/records.js';
import type { Codec } from '../../schemas/record.js';
import { claimCodec } from './claim-codec.js';
import { EXPIRES, NOW, routed } from './fixtures.js';

/** Any codec will do: the claim's only puts its head before it. */
const plain: Codec<MessageRouted> = {
  encode: ({ attempt }) => Buffer.from([attempt]),
  decode: (bytes) => routed({ attempt: bytes[0] ?? 0 }),
};
const claim = {
  routed: routed({ attempt: 7 }),
  at: { topic: 'préfixe.routed.sms.p1', partition: 11, offset: 2 ** 52 },
  claimedAt: NOW,
  deadline: EXPIRES,
};

const first = claimCodec(plain, { writes: 1, reads: 2 });
const second = claimCodec(plain, { writes: 2, reads: 2 });

test.each([
  ['the same release', first, first],
  ['the release after', first, second],
  ['the release before', second, first],
])('a claim comes back as it was written, to %s', (_which, writer, reader) => {
  const bytes = writer.encode(claim);
  expect(reader.decode(bytes)).toEqual(claim);
  expect(reader.framed?.(bytes)).toEqual(plain.encode(claim.routed));
});

test('a claim of a newer format stops an older worker instead of being misread, and names its release', () => {
  const bytes = claimCodec(plain, { writes: 3, reads: 3 }).encode(claim);
  bytes.set([9, 8, 7], 1);
  for (const read of [first.decode, first.framed])
    expect(() => read?.(bytes)).toThrow(
      expect.objectContaining({
        code: 'state_too_new',
        message: expect.stringContaining('9.8.7') as string,
      }),
    );
});
