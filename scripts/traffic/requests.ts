import { v7 } from 'uuid';
import type { MessageId } from '../../schemas/brand.js';
import { messageId, tenantId } from '../../schemas/brand.js';
import type {
  Lane,
  MessageRequest,
  Recipient,
  RefusalReason,
} from '../../schemas/generated/records.js';
import type { Catalog, CatalogAccount } from './catalog.js';
import type { Random } from './random.js';

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

const TIERS = ['gold', 'platinum', 'silver', 'basic', 'basic', 'basic', null] as const;

/** Time-ordered, and the same for the same seed and start. */
const freshId = (random: Random, at: number): MessageId =>
  messageId(v7({ msecs: Math.floor(at), random: random.bytes(16), seq: random.int(2 ** 31) }));

/** A recipient is the same person each time: address and tier follow from the rank. */
const recipientOf = (rank: number): Recipient => ({
  userId: `u${rank.toString().padStart(6, '0')}`,
  // 13800000000.. are the examples of Chinese carriers' own documentation.
  phone: `138${rank.toString().padStart(8, '0')}`,
  email: null,
  openId: null,
  pushTokens: rank % 2 === 0 ? [`token-${rank}`] : [],
  tier: TIERS[rank % TIERS.length] ?? null,
});

/** Attributes by lane: codes are urgent, marketing is bulk. */
const ATTRIBUTES: Readonly<Record<Lane, readonly string[]>> = {
  p0: ['transactional'],
  p1: ['transactional', 'service'],
  p2: ['service', 'service', 'marketing'],
  p3: ['marketing'],
};

/** Lists of channels a producer would write; the empty one leaves it to policy. All are addressable by phone. */
const channelLists = (catalog: Catalog, account: CatalogAccount): readonly string[][] => [
  [],
  [...catalog.phoneChannels],
  [...catalog.phoneChannels],
  [...catalog.pushChannels, ...catalog.phoneChannels],
  ...(account.hasWebhook && catalog.webhookChannels.length > 0
    ? [[...catalog.webhookChannels], [...catalog.webhookChannels, ...catalog.phoneChannels]]
    : []),
];

/** A request that nothing is wrong with. */
export const deliverable = (
  random: Random,
  catalog: Catalog,
  account: CatalogAccount,
  lane: Lane,
  rank: number,
  createdAt: number,
): MessageRequest => {
  const attribute = random.pick(ATTRIBUTES[lane]);
  return {
    messageId: freshId(random, createdAt),
    tenantId: account.tenantId,
    businessLine: account.businessLine,
    attribute,
    // Made from an id, so that two runs of one seed within a day do not meet.
    idempotencyKey: random.chance(0.3) ? `order-${freshId(random, createdAt)}` : null,
    campaignId: attribute === 'marketing' ? `campaign-${random.int(5)}` : null,
    recipient: recipientOf(rank),
    templateId: random.pick(catalog.templates),
    params: {
      code: random.int(1_000_000).toString().padStart(6, '0'),
      order: `SO-${random.int(10_000_000)}`,
      month: random.pick(['May', 'June', 'July']),
      percent: random.pick(['10', '20', '30']),
    },
    channels: random.pick(channelLists(catalog, account)),
    units: null,
    maxCostMicros: null,
    currency: null,
    locale: random.pick(['zh-CN', 'en', null]),
    timeZone: null,
    createdAt: Math.floor(createdAt),
    notBefore: null,
    expiresAt: lane === 'p0' ? Math.floor(createdAt) + 10 * MINUTE_MS : null,
    labels: { source: 'traffic', lane },
  };
};

interface Flaw {
  readonly reason: RefusalReason;
  readonly on: (request: MessageRequest) => MessageRequest;
}

/** Each breaks one rule of contract.md's table of bad input. */
export const FLAWS: readonly Flaw[] = [
  { reason: 'invalid', on: (r) => ({ ...r, units: 0 }) },
  { reason: 'invalid', on: (r) => ({ ...r, units: 1_001 }) },
  { reason: 'invalid', on: (r) => ({ ...r, maxCostMicros: -1n }) },
  {
    reason: 'invalid',
    on: (r) => ({ ...r, messageId: messageId(`not-a-uuid-${r.messageId.slice(-12)}`) }),
  },
  { reason: 'invalid', on: (r) => ({ ...r, expiresAt: r.createdAt - 1 }) },
  { reason: 'invalid', on: (r) => ({ ...r, notBefore: r.createdAt + 40 * DAY_MS }) },
  { reason: 'invalid', on: (r) => ({ ...r, labels: { long: 'x'.repeat(300) } }) },
  { reason: 'unknown_tenant', on: (r) => ({ ...r, tenantId: tenantId('nobody') }) },
  { reason: 'unknown_template', on: (r) => ({ ...r, templateId: 'no-such-template' }) },
  {
    reason: 'expired',
    on: (r) => ({ ...r, createdAt: r.createdAt - 2 * DAY_MS, expiresAt: null }),
  },
];

/** Only by phone, without a phone. */
export const withoutAddress = (request: MessageRequest, catalog: Catalog): MessageRequest => ({
  ...request,
  channels: [...catalog.phoneChannels],
  recipient: { ...request.recipient, phone: null },
});

/** One to six days ahead: parked until a later release. */
export const inFuture = (request: MessageRequest, random: Random): MessageRequest => ({
  ...request,
  expiresAt: null,
  notBefore: request.createdAt + DAY_MS + random.int(5 * DAY_MS),
});

/** The same idempotency key with other content, under an id of its own. */
export const contradicting = (request: MessageRequest, id: MessageId): MessageRequest => ({
  ...request,
  messageId: id,
  params: { ...request.params, code: 'changed' },
});
