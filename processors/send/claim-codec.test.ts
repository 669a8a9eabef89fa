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
const codec = claimCodec(plain);
const claim = {
  routed: routed({ attempt: 7 }),
  at: { topic: 'préfixe.routed.sms.p1', partition: 11, offset: 2 ** 52 },
  claimedAt: NOW,
  deadline: EXPIRES,
};

test('a claim comes back as it was written', () => {
  expect(codec.decode(codec.encode(claim))).toEqual(claim);
});

test('a claim of a newer release stops an older worker instead of being misread', () => {
  const bytes = codec.encode(claim);
  bytes[0] = 2;
  expect(() => codec.decode(bytes)).toThrow(expect.objectContaining({ code: 'state_too_new' }));
});
