import fc from 'fast-check';
import { expect, test } from 'vitest';
import { messageId, tenantId } from '../../schemas/brand.js';
import { FORMATS } from '../../schemas/formats.js';
import { spendCodec } from './spend-codec.js';
import { leaseIdOf, spendIdOf } from './spend.js';

const codec = spendCodec(FORMATS.spends);
const most = 2n ** 63n - 1n;
const count = fc.nat();

test('what a transaction spent is read as it was written, to the micro', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          lease: count,
          number: fc.nat(Number.MAX_SAFE_INTEGER),
          tenantId: fc.constantFrom('acme', 'globex').map(tenantId),
          messageId: fc.uuid().map(messageId),
          generation: count,
          createdAt: count,
          expiresAt: count,
          cashMicros: fc.bigInt({ min: 0n, max: most }),
          units: count,
          cashCapMicros: fc.option(fc.bigInt({ min: 0n, max: most })),
          unitsCap: fc.option(count),
          offset: fc.nat(Number.MAX_SAFE_INTEGER),
        }),
      ),
      (spends) => {
        const batch = { source: { topic: 'ingest.p1', partition: 3 }, spends };
        expect(codec.decode(codec.encode(batch))).toEqual(batch);
      },
    ),
  );
});

test('a spend has a name in `leaseId`, and every other is an error', () => {
  const id = { lease: 17, number: 4_711 };
  expect(spendIdOf(leaseIdOf(id))).toEqual(id);
  for (const text of ['', '17', '17.', '.4', '-1.2', '1.2.3', 'x.1'])
    expect(() => spendIdOf(text), text).toThrow(/is no lease and number/);
});
