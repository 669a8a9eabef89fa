import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { messageId, tenantId } from '../../schemas/brand.js';
import type { DeliveryFeedback, ProviderReceipt } from '../../schemas/generated/records.js';
import { NO_SETTLEMENT } from '../../processors/refusal.js';
import { RequestProducer } from '../produce/request-producer.js';
import { commandLine } from '../testing/command-line.js';
import type { ScratchInstallation } from '../testing/scratch-installation.js';
import { scratchInstallation } from '../testing/scratch-installation.js';
import type { Trace } from './events.js';

const message = messageId(randomUUID());
const inTable = messageId(randomUUID());
const NOW = Date.now();

const aReceipt = (change: Partial<ProviderReceipt>): ProviderReceipt => ({
  provider: 'aliyun',
  channel: 'sms',
  origin: 'carrier',
  attempt: null,
  providerMessageId: null,
  state: 'delivered',
  class: null,
  providerCode: null,
  units: null,
  reportedAt: NOW,
  receivedAt: NOW,
  deferrals: 0,
  dueAt: null,
  ...change,
});
const feedback = (): DeliveryFeedback => ({
  feedbackId: randomUUID(),
  messageId: message,
  generation: 0,
  tenantId: tenantId('acme'),
  businessLine: 'orders',
  lane: 'p1',
  templateId: 't',
  campaignId: null,
  attempt: 1,
  sequence: 1,
  channel: 'sms',
  provider: 'aliyun',
  providerMessageId: 'biz-1',
  providerCode: null,
  recipientHash: 'h',
  state: 'accepted',
  class: null,
  terminal: false,
  settlement: NO_SETTLEMENT,
  createdAt: NOW - 3_000,
  attemptedAt: NOW - 2_000,
  occurredAt: NOW - 1_000,
  labels: {},
});

let own: ScratchInstallation;
let millrace: ReturnType<typeof commandLine>;

beforeAll(async () => {
  // trace reads every topic that messages go through.
  own = await scratchInstallation(({ visibility }) => visibility !== 'internal', 1);
  millrace = commandLine(own.variables);
  const { names, codecs } = own;
  const producer = await RequestProducer.open(own.kafka, () => undefined);
  const receipt = (topic: string, value: ProviderReceipt) =>
    producer.send({ topic, key: 'k', value: codecs.of('ProviderReceipt', topic).encode(value) });
  await receipt(names.receipts, aReceipt({ providerMessageId: 'biz-1' }));
  await receipt(names.retryReceipts, aReceipt({ providerMessageId: 'biz-1', receivedAt: NOW + 5 }));
  // Another provider's id that happens to be the same, and ids that only begin so.
  await receipt(names.receipts, aReceipt({ providerMessageId: 'biz-1', provider: 'other' }));
  await receipt(names.receipts, aReceipt({ providerMessageId: 'biz-12' }));
  await receipt(names.receipts, aReceipt({ providerMessageId: 'biz-2', receivedAt: NOW + 9 }));
  await receipt(names.receipts, aReceipt({ providerMessageId: 'orphan' }));
  await producer.send({
    topic: names.feedback,
    key: 'k',
    value: codecs.of('DeliveryFeedback', names.feedback).encode(feedback()),
  });
  await producer.settle();
  await producer.close();
  // Known to the table alone: its feedback is older than the topic's retention.
  await own.database.query(
    {
      name: 'test-attempt',
      text: `insert into attempts (tenant_id, message_id, generation, attempt, record_key, lane, channel, provider,
               provider_message_id, business_line, template_id, recipient_hash, labels, created_at, attempted_at,
               occurred_at, state, terminal, sequence)
             values ('acme', $1, 0, 1, 'k', 'p1', 'sms', 'aliyun', 'biz-2', 'orders', 't', 'h', '{}', now(), now(),
               $2, 'accepted', false, 1)`,
    },
    [inTable, new Date(NOW - 500)],
  );
});
afterAll(async () => {
  await own.remove();
});

const told = async (...args: readonly string[]): Promise<readonly (readonly string[])[]> => {
  const said = await millrace('trace', ...args, '--json');
  expect(said.err).toBe('');
  return (said.json() as readonly Trace[]).map(({ events }) => events.map(({ what }) => what));
};

test("receipts that carry only the provider's id are told with their message, in order of time, and nobody else's", async () => {
  expect(await told(message)).toEqual([['feedback', 'receipts', 'retry.receipts']]);
});

test("a provider's id that only feedback knows finds the message, with its receipts", async () => {
  expect(await told('--provider-id', 'biz-1')).toEqual([
    ['feedback', 'receipts', 'retry.receipts'],
  ]);
});

test("a provider's id of no known message shows the receipts that carry it", async () => {
  expect(await told('--provider-id', 'orphan')).toEqual([['receipts']]);
  const none = await millrace('trace', '--provider-id', 'nobody-ever-had-this');
  expect(none).toMatchObject({ code: 1 });
  expect(none.out).toContain('Nothing found');
});

test('a message that only the tables know is told from them and from its receipts', async () => {
  expect(await told('--provider-id', 'biz-2')).toEqual([['attempt', 'receipts']]);
  expect(await told(inTable)).toEqual([['attempt', 'receipts']]);
});
