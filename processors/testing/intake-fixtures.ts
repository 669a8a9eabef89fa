import { createHash } from 'node:crypto';
import { messageId, tenantId } from '../../schemas/brand.js';
import { CONFIG_KINDS, configSchemas } from '../../schemas/config.js';
import type { BusinessConfig } from '../../schemas/config.js';
import type {
  ConfigEntry,
  MessageDeduped,
  MessageRequest,
} from '../../schemas/generated/records.js';
import type { KafkaRecord } from '../../schemas/record.js';
import { configKey } from '../configuration.js';

/** What the tests of dedupe, budget-reserve and route start from. NOW is any moment. */
export const NOW = Date.UTC(2026, 4, 20, 12);
export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;

/** Personal data that must not be in a refusal. */
export const CANARIES = ['user-canary', '13912345678', 'canary@example.com', '493817'];

const provider = (name: string, price: string, over: object = {}) => ({
  name,
  adapter: 'in-process',
  price,
  currency: 'CNY',
  billing: 'on_acceptance',
  dedupesOnKey: true,
  unknownOutcome: 'retry',
  receipts: false,
  ...over,
});

const written: Record<string, unknown> = {
  tenants: [
    {
      id: 'acme',
      webhookUrl: 'https://acme.example/hook',
      businessLines: [
        { name: 'promo', currency: 'CNY', initialCash: '1', initialUnits: 1 },
        { name: 'abroad', currency: 'USD', initialCash: '1', initialUnits: 1 },
      ],
    },
    {
      id: 'globex',
      ownIngest: true,
      lanes: ['p0', 'p1'],
      businessLines: [{ name: 'promo', currency: 'CNY', initialCash: '1', initialUnits: 1 }],
    },
  ],
  templates: [
    { id: 'code', units: 1 },
    { id: 'long', units: 3 },
    { id: 'secret', tenants: ['globex'] },
  ],
  channels: [
    {
      name: 'sms',
      address: 'phone',
      // 0.05 and 0.08 a unit; and one that no CNY account can pay.
      providers: [
        provider('cheap', '0.05'),
        provider('dear', '0.08'),
        provider('foreign', '0.01', { currency: 'USD' }),
      ],
    },
    { name: 'app_push', address: 'pushTokens', providers: [provider('push', '0.002')] },
    {
      name: 'webhook',
      address: 'webhook',
      providers: [provider('webhook', '0.001', { adapter: 'webhook' })],
    },
    { name: 'email', address: 'email', providers: [provider('ses', '0.01')] },
  ],
  policy: {
    highValueTiers: ['gold'],
    defaultChannels: ['sms', 'app_push'],
    rules: [
      {
        name: 'high-value',
        when: { attribute: ['marketing'], highValue: true },
        channels: ['app_push'],
      },
      { name: 'transactional', when: { attribute: ['transactional'] }, channels: ['sms'] },
      { name: 'bulk', when: { lane: ['p3'] }, channels: ['app_push'] },
    ],
  },
  windows: {},
  breaker: { level1: {} },
  lanes: { maxBatch: { p0: 1, p1: 1, p2: 1, p3: 1 }, rest: {} },
  recharge: {},
};

/** The `config` table of a small installation; a kind may be replaced. */
export const configTable = (
  change: Partial<Record<keyof BusinessConfig, unknown>> = {},
): ReadonlyMap<string, ConfigEntry> =>
  new Map(
    CONFIG_KINDS.map((kind) => {
      const body = JSON.stringify(configSchemas[kind].parse(change[kind] ?? written[kind]));
      return [
        configKey(kind),
        {
          kind,
          name: 'all',
          version: createHash('sha256').update(body).digest('hex'),
          body,
          appliedAt: NOW,
          appliedBy: 'test',
        },
      ];
    }),
  );

/** A request that passes everything: acme's, to someone with phone and push token. */
export const request = (change: Partial<MessageRequest> = {}): MessageRequest => ({
  messageId: messageId('0198f3c2-7b1e-7c55-9a1b-3d2f4e5a6b7c'),
  tenantId: tenantId('acme'),
  businessLine: 'promo',
  attribute: 'service',
  idempotencyKey: null,
  campaignId: 'spring',
  recipient: {
    userId: 'user-canary',
    phone: '13912345678',
    email: null,
    openId: null,
    pushTokens: ['token'],
    tier: null,
  },
  templateId: 'code',
  params: { code: '493817' },
  channels: [],
  units: null,
  maxCostMicros: null,
  currency: null,
  locale: null,
  timeZone: null,
  createdAt: NOW - 1_000,
  notBefore: null,
  expiresAt: null,
  labels: { team: 'growth' },
  ...change,
});

export const deduped = (change: Partial<MessageRequest> = {}): MessageDeduped => ({
  request: request(change),
  generation: 0,
  key: 'user-key',
  dedupedAt: NOW,
});

/** A record of p1, read by its chain from ingest. */
export const record = <V, F extends string>(
  from: F,
  value: V,
  offset = 7,
  change: Partial<KafkaRecord<V>> = {},
): KafkaRecord<V> & { readonly from: F } => ({
  from,
  at: { topic: 'x.ingest.p1', partition: 2, offset },
  key: Buffer.from('user-key'),
  value,
  timestamp: NOW,
  headers: {},
  size: 400,
  ...change,
});

/** No bigint in JSON: text, to look for canaries. */
export const asText = (value: unknown): string =>
  JSON.stringify(value, (_key, one: unknown) => (typeof one === 'bigint' ? String(one) : one));
