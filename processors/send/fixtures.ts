import { messageId, tenantId } from '../../schemas/brand.js';
import type { ChannelConfig, ProviderConfig } from '../../schemas/config.js';
import { configSchemas } from '../../schemas/config.js';
import type { BreakerLevel, ConfigEntry, MessageRouted } from '../../schemas/generated/records.js';
import type { KafkaRecord } from '../../schemas/record.js';
import type { View } from '../processor.js';
import type { Claim } from './claim.js';
import type { Send } from './contract.js';
import type { SendOptions } from './records.js';

/** What the tests of this folder start from. NOW is any moment. */
export const NOW = 1_800_000_000_000;
export const EXPIRES = NOW + 72 * 3_600_000;
export const OPTIONS: SendOptions = { lane: 'p1', recipientHash: () => 'hash-of-user' };

/** Personal data that must never be seen outside of routed, retry, parked and unknown. */
export const CANARIES = { phone: '13912345678', code: '493817', userId: 'user-canary' };

export const provider = (change: Partial<ProviderConfig> = {}): ProviderConfig => ({
  name: 'first',
  adapter: 'aliyun-sms',
  url: 'http://127.0.0.1:1/first',
  price: '0.045',
  currency: 'CNY',
  billing: 'on_delivery',
  dedupesOnKey: false,
  unknownOutcome: 'receipt',
  receiptHorizonMs: 259_200_000,
  receipts: true,
  timeoutMs: 4_000,
  concurrency: 64,
  ratePerSecond: 100_000,
  maxAttempts: 3,
  settings: {},
  ...change,
});

export const SECOND = provider({ name: 'second', price: '0.05' });

export const routed = (change: Partial<MessageRouted> = {}): MessageRouted => ({
  reserved: {
    deduped: {
      request: {
        messageId: messageId('0198f3c2-7b1e-7c55-9a1b-3d2f4e5a6b7c'),
        tenantId: tenantId('acme'),
        businessLine: 'promotions',
        attribute: 'marketing',
        idempotencyKey: null,
        campaignId: null,
        recipient: {
          userId: CANARIES.userId,
          phone: CANARIES.phone,
          email: null,
          openId: null,
          pushTokens: [],
          tier: null,
        },
        templateId: 'welcome',
        params: { code: CANARIES.code },
        channels: [],
        units: null,
        maxCostMicros: null,
        currency: null,
        locale: null,
        timeZone: null,
        createdAt: NOW - 1_000,
        notBefore: null,
        expiresAt: null,
        labels: { shop: '7' },
      },
      generation: 0,
      key: 'producer-key',
      dedupedAt: NOW - 900,
    },
    cashMicros: 100_000n,
    units: 2,
    currency: 'CNY',
    leaseId: null,
    candidates: ['sms'],
    reservedAt: NOW - 800,
  },
  channel: 'sms',
  provider: 'first',
  priceMicros: 45_000n,
  units: 1,
  attempt: 1,
  routeAttempt: 1,
  ambiguous: false,
  diversions: 0,
  alternatives: [],
  expiresAt: EXPIRES,
  dueAt: null,
  routedAt: NOW - 700,
  ...change,
});

export const record = (value: MessageRouted): KafkaRecord<MessageRouted> & { from: 'routed' } => ({
  from: 'routed',
  at: { topic: 'routed.sms.p1', partition: 3, offset: 42 },
  key: Buffer.from('producer-key'),
  value,
  timestamp: NOW,
  headers: {},
  size: 500,
});

export const configEntries = (channels: readonly ChannelConfig[]): Map<string, ConfigEntry> => {
  const entry = (kind: string, body: unknown): [string, ConfigEntry] => [
    `${kind}/all`,
    {
      kind,
      name: 'all',
      version: 'v',
      body: JSON.stringify(body),
      appliedAt: 0,
      appliedBy: 'test',
    },
  ];
  return new Map([
    entry('channels', configSchemas.channels.parse(channels)),
    entry('templates', [{ id: 'welcome', codes: { first: 'SMS_1', second: 'SMS_2' } }]),
    entry('tenants', [
      {
        id: 'acme',
        businessLines: [
          { name: 'promotions', currency: 'CNY', initialCash: '10', initialUnits: 10 },
        ],
      },
    ]),
  ]);
};

export const sms = (...providers: [ProviderConfig, ...ProviderConfig[]]): ChannelConfig => ({
  name: 'sms',
  address: 'phone',
  providers,
});

export const view = (
  change: {
    readonly now?: number;
    readonly channels?: readonly ChannelConfig[];
    readonly claims?: ReadonlyMap<string, Claim>;
    readonly levels?: ReadonlyMap<string, BreakerLevel>;
  } = {},
): View<Send> => ({
  now: change.now ?? NOW,
  state: { claims: change.claims ?? new Map<string, Claim>() },
  tables: {
    config: configEntries(change.channels ?? [sms(provider(), SECOND)]),
    levels: change.levels ?? new Map<string, BreakerLevel>(),
  },
});

export const level = (change: Partial<BreakerLevel>): BreakerLevel => ({
  scope: 'channel/sms/first',
  channel: 'sms',
  provider: 'first',
  level: 1,
  fromLevel: 0,
  rateFactor: 0.5,
  fromRateFactor: 1,
  avoid: true,
  cause: 'test',
  windowStart: null,
  windowMs: null,
  errorRate: null,
  attempts: null,
  since: NOW,
  at: NOW,
  heartbeat: false,
  ...change,
});
