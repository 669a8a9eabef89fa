import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Claim } from '../processors/send/claim.js';
import type { Codec } from '../schemas/record.js';
import { claimedMessages } from './claimed-messages.js';
import { changelogKey } from './runtime/chain.js';
import { PackedStore } from './runtime/packed-store.js';
import { TestKafka } from './testing/kafka.js';

const codec: Codec<Claim> = {
  encode: (value) => Buffer.from(JSON.stringify(value)),
  decode: (bytes) => JSON.parse(bytes.toString()) as Claim,
};
const claim = (messageId: string, generation = 0): Claim =>
  ({
    routed: { reserved: { deduped: { request: { tenantId: 'acme', messageId }, generation } } },
  }) as unknown as Claim;

let kafka: TestKafka;
beforeAll(async () => {
  kafka = new TestKafka();
  await kafka.topics(
    2,
    ['p0', 'p1'].map((lane) => kafka.prefix + lane),
  );
});
afterAll(() => kafka.close());

test('reads what senders have claimed and not ended, of all sources that share a changelog', async () => {
  const name = `${kafka.prefix}p0`;
  const sms = new PackedStore<Claim>();
  const push = new PackedStore<Claim>();
  const write = (store: PackedStore<Claim>, source: string, partition: number) => {
    const writes = [...store.changelog(codec as Codec<unknown>)].map(({ key, value }) => ({
      topic: name,
      partition,
      key: changelogKey(source, key),
      value,
    }));
    store.apply();
    return kafka.write(writes);
  };
  sms.put('a', claim('one'));
  sms.put('b', claim('two', 3));
  await write(sms, 'routed.sms', 0);
  push.put('a', claim('three'));
  await write(push, 'routed.push', 0);
  push.put('b', claim('four'));
  await write(push, 'routed.push', 1);
  sms.put('a', null);
  await write(sms, 'routed.sms', 0);

  const claimed = await claimedMessages({
    settings: kafka.client,
    groupId: `${kafka.prefix}reader`,
    claims: ['p0', 'p1'].map((lane) => ({ name: kafka.prefix + lane, codec })),
    prepare: () => Promise.resolve(),
  });
  expect([...claimed].sort()).toEqual(['acme|four|0', 'acme|three|0', 'acme|two|3']);
});
