import type { ProviderConfig } from '../../schemas/config.js';
import { messageId, tenantId } from '../../schemas/brand.js';
import type { MessageRouted } from '../../schemas/generated/records.js';
import type { Call } from './gate.js';
import type { Submission } from './provider.js';

/** What the tests of the adapters start from. */
export const KEYS = { accessKeyId: 'LTAI-test', accessKeySecret: 'secret-canary-7f3a' };
export const WEBHOOK_SECRET = `whsec_${Buffer.from('webhook-canary-91d2').toString('base64')}`;
export const PHONE = '13912345678';
export const ENVIRONMENT = {
  TEST_KEY_ID: KEYS.accessKeyId,
  TEST_KEY_SECRET: KEYS.accessKeySecret,
  TEST_WEBHOOK_SECRET: WEBHOOK_SECRET,
};

export const aliyunConfig = (
  url: string,
  change: Partial<ProviderConfig> = {},
): ProviderConfig => ({
  name: 'aliyun',
  adapter: 'aliyun-sms',
  url: `${url}/aliyun`,
  price: '0.045',
  currency: 'CNY',
  billing: 'on_delivery',
  dedupesOnKey: false,
  unknownOutcome: 'receipt',
  receiptHorizonMs: 259_200_000,
  receipts: true,
  timeoutMs: 2_000,
  concurrency: 8,
  ratePerSecond: 100_000,
  maxAttempts: 3,
  settings: {
    accessKeyIdEnv: 'TEST_KEY_ID',
    accessKeySecretEnv: 'TEST_KEY_SECRET',
    signName: '测试签名',
  },
  ...change,
});

export const webhookConfig = (change: Partial<ProviderConfig> = {}): ProviderConfig => ({
  ...aliyunConfig('http://127.0.0.1:1'),
  name: 'tenant-webhook',
  adapter: 'webhook',
  dedupesOnKey: true,
  unknownOutcome: 'retry',
  receipts: false,
  settings: {},
  ...change,
});

export const inProcessConfig = (change: Partial<ProviderConfig> = {}): ProviderConfig => ({
  ...aliyunConfig('http://127.0.0.1:1'),
  name: 'in-process',
  adapter: 'in-process',
  receipts: false,
  settings: {},
  ...change,
});

/** Message ids that differ in their number only. */
export const idOf = (index: number): string =>
  `0198f3c2-7b1e-7c55-9a1b-${index.toString(16).padStart(12, '0')}`;

export const routedTo = (
  channel: string,
  provider: string,
  index: number,
  phone: string,
): MessageRouted => ({
  reserved: {
    deduped: {
      request: {
        messageId: messageId(idOf(index)),
        tenantId: tenantId('acme'),
        businessLine: 'promotions',
        attribute: 'marketing',
        idempotencyKey: null,
        campaignId: null,
        recipient: {
          userId: 'user-1',
          phone,
          email: null,
          openId: null,
          pushTokens: [],
          tier: null,
        },
        templateId: 'welcome',
        params: { name: "O'Neil & 王*(+)", code: '1~2' },
        channels: [],
        units: null,
        maxCostMicros: null,
        currency: null,
        locale: null,
        timeZone: null,
        createdAt: 0,
        notBefore: null,
        expiresAt: null,
        labels: {},
      },
      generation: 0,
      key: 'k',
      dedupedAt: 0,
    },
    cashMicros: 100_000n,
    units: 1,
    currency: 'CNY',
    leaseId: null,
    candidates: [channel],
    reservedAt: 0,
  },
  channel,
  provider,
  priceMicros: 45_000n,
  units: 1,
  attempt: 1,
  routeAttempt: 1,
  ambiguous: false,
  diversions: 0,
  alternatives: [],
  expiresAt: Number.MAX_SAFE_INTEGER,
  dueAt: null,
  routedAt: 0,
});

export interface CallChange {
  readonly index?: number;
  readonly phone?: string;
  readonly lane?: Call['lane'];
  readonly rateFactor?: number;
  readonly webhookUrl?: string;
  readonly templateCode?: string;
  readonly startInMs?: number;
  readonly timeoutMs?: number;
}

/** As the gate takes it, and as it hands it on to an adapter. */
export const callOf = (provider: ProviderConfig, change: CallChange = {}): Call & Submission => {
  const index = change.index ?? 0;
  const now = Date.now();
  return {
    routed: routedTo('sms', provider.name, index, change.phone ?? PHONE),
    provider,
    lane: change.lane ?? 'p1',
    rateFactor: change.rateFactor ?? 1,
    template: {
      id: 'welcome',
      tenants: [],
      units: 1,
      codes: { [provider.name]: change.templateCode ?? 'SMS_1' },
      text: 'Hello {name}, {missing}',
    },
    tenant: {
      id: 'acme',
      ownIngest: false,
      lanes: ['p0', 'p1', 'p2', 'p3'],
      businessLines: [{ name: 'promotions', currency: 'CNY', initialCash: '1', initialUnits: 1 }],
      webhookSecretEnv: 'TEST_WEBHOOK_SECRET',
      ...(change.webhookUrl === undefined ? {} : { webhookUrl: change.webhookUrl }),
    },
    idempotencyKey: `acme-${idOf(index)}-0`,
    reference: `acme|${idOf(index)}|0|1`,
    startBy: now + (change.startInMs ?? 1_000),
    deadline: now + (change.timeoutMs ?? provider.timeoutMs),
  };
};
