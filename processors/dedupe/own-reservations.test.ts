import { expect, test } from 'vitest';
import { messageId, tenantId } from '../../schemas/brand.js';
import type { FirstSeen, Sighting } from './first-seen.js';
import { payersFirst } from './own-reservations.js';

const sighting = (partition: number): Sighting => ({
  key: Buffer.from('the same key'),
  content: Buffer.from('content'),
  tenantId: tenantId('acme'),
  messageId: messageId('00000000-0000-7000-8000-000000000001'),
  createdAt: 0,
  at: { topic: 'ingest.p1', partition, offset: 0 },
});
const [newcomer, payer, other] = [sighting(0), sighting(1), sighting(2)];
const redis: FirstSeen = {
  claim: (sightings) => Promise.resolve(sightings.map(() => newcomer)),
  release: () => Promise.resolve(),
};

test('a record that has paid passes, though Redis was emptied and names another as the first', async () => {
  const asked: unknown[] = [];
  const firsts = await payersFirst(redis, {
    reservedBy: (records) => {
      asked.push(...records);
      return Promise.resolve(records.map(({ at }) => at === payer.at));
    },
  }).claim([newcomer, payer, other], 1);
  expect(firsts).toEqual([newcomer, payer, newcomer]);
  expect(asked).toMatchObject([
    { at: payer.at, generation: 0 },
    { at: other.at, generation: 0 },
  ]);
});

test('the ledger is not asked where Redis calls nothing a duplicate', async () => {
  const ledger = { reservedBy: () => Promise.reject(new Error('asked')) };
  expect(await payersFirst(redis, ledger).claim([newcomer], 1)).toEqual([newcomer]);
});
