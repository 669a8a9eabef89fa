import { createHash } from 'node:crypto';
import { type EpochMs, messageId, tenantId } from '../../schemas/brand.js';
import { type BusinessConfig, CONFIG_KINDS, configSchemas } from '../../schemas/config.js';
import type { ConfigEntry, MessageRequest } from '../../schemas/generated/records.js';

/** Personal data that no test may find outside of the topics that may hold it. */
export const CANARIES = {
  userId: 'user-canary-7781',
  phone: '13912345678',
  email: 'canary@example.com',
  openId: 'openid-canary-5512',
  pushToken: 'token-canary-9043',
  code: '493817',
} as const;

const parse = <K extends keyof typeof configSchemas>(kind: K, value: unknown): BusinessConfig[K] =>
  configSchemas[kind].parse(value) as BusinessConfig[K];

const carrier = {
  adapter: 'in-process',
  currency: 'CNY',
  billing: 'on_delivery',
  dedupesOnKey: false,
  unknownOutcome: 'receipt',
  receipts: true,
  timeoutMs: 4_000,
  maxAttempts: 3,
};

/** A small installation: two tenants, sms with a second carrier to fail over to, app_push, short windows. */
export const TEST_CONFIG: BusinessConfig = {
  tenants: parse('tenants', [
    {
      id: 'acme',
      businessLines: [
        { name: 'orders', currency: 'CNY', initialCash: '1000', initialUnits: 100_000 },
        { name: 'poor', currency: 'CNY', initialCash: '0.1', initialUnits: 100_000 },
      ],
    },
    {
      id: 'globex',
      businessLines: [
        { name: 'orders', currency: 'CNY', initialCash: '1000', initialUnits: 100_000 },
      ],
    },
  ]),
  templates: parse('templates', [{ id: 'login-code', text: 'Your code is {code}.' }]),
  channels: parse('channels', [
    {
      name: 'sms',
      address: 'phone',
      providers: [
        { ...carrier, name: 'first', price: '0.045' },
        { ...carrier, name: 'second', price: '0.05' },
      ],
    },
    {
      name: 'app_push',
      address: 'pushTokens',
      providers: [
        {
          ...carrier,
          name: 'push',
          price: '0.002',
          billing: 'on_acceptance',
          dedupesOnKey: true,
          unknownOutcome: 'retry',
          receipts: false,
        },
      ],
    },
  ]),
  policy: parse('policy', { defaultChannels: ['sms', 'app_push'] }),
  windows: parse('windows', { lengthMs: 10_000, graceMs: 1_000, silenceMs: 15_000 }),
  breaker: parse('breaker', { level1: {} }),
  lanes: parse('lanes', { maxBatch: { p0: 100, p1: 100, p2: 100, p3: 100 } }),
  recharge: parse('recharge', {}),
};

/** Configuration as `millrace config apply` publishes it. */
export const configRecords = (
  config: BusinessConfig,
  appliedAt: EpochMs,
): { readonly key: string; readonly value: ConfigEntry }[] =>
  CONFIG_KINDS.map((kind) => {
    const body = JSON.stringify(config[kind]);
    const version = createHash('sha256').update(body).digest('hex');
    return {
      key: `${kind}/all`,
      value: { kind, name: 'all', version, body, appliedAt, appliedBy: 'test' },
    };
  });

/** The nth message's id: a canonical UUID. */
export const idOf = (n: number): MessageRequest['messageId'] =>
  messageId(`00000000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`);

/** A request that passes every check, full of canaries; `n` names it. */
export const requestOf = (
  n: number,
  createdAt: EpochMs,
  change: Partial<MessageRequest> = {},
): MessageRequest => ({
  messageId: idOf(n),
  tenantId: tenantId('acme'),
  businessLine: 'orders',
  attribute: 'transactional',
  idempotencyKey: null,
  campaignId: null,
  recipient: {
    userId: CANARIES.userId,
    phone: CANARIES.phone,
    email: CANARIES.email,
    openId: CANARIES.openId,
    pushTokens: [CANARIES.pushToken],
    tier: null,
  },
  templateId: 'login-code',
  params: { code: CANARIES.code },
  channels: ['sms'],
  units: null,
  maxCostMicros: null,
  currency: null,
  locale: null,
  timeZone: null,
  createdAt,
  notBefore: null,
  expiresAt: null,
  labels: { shop: '7' },
  ...change,
});
