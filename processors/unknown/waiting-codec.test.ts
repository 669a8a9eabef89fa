import { expect, test } from 'vitest';
import type { MessageRouted } from '../../schemas/generated/records.js';
import type { Codec } from '../../schemas/record.js';
import { EXPIRES, NOW, routed } from '../send/fixtures.js';
import { waitingCodec } from './waiting-codec.js';

/** Any codec will do: the held attempt's only puts its fields before it. */
const plain: Codec<MessageRouted> = {
  encode: ({ attempt }) => Buffer.from([attempt]),
  decode: (bytes) => routed({ attempt: bytes[0] ?? 0 }),
};
const waiting = { routed: routed({ attempt: 3 }), heldAt: NOW, nextAt: EXPIRES, asked: 2 };
const first = waitingCodec(plain, { writes: 1, reads: 2 });
const second = waitingCodec(plain, { writes: 2, reads: 2 });

test.each([
  ['the same release', first, first],
  ['the release after', first, second],
  ['the release before', second, first],
])('a held attempt comes back as it was written, to %s', (_which, writer, reader) => {
  const bytes = writer.encode(waiting);
  expect(reader.decode(bytes)).toEqual(waiting);
  expect(reader.framed?.(bytes)).toEqual(plain.encode(waiting.routed));
});

test('a held attempt of a newer format stops an older worker instead of being misread', () => {
  const bytes = waitingCodec(plain, { writes: 3, reads: 3 }).encode(waiting);
  expect(() => first.decode(bytes)).toThrow(expect.objectContaining({ code: 'state_too_new' }));
});
