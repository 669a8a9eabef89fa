import { z } from 'zod';
import { LANES } from './generated/records.js';

/**
 * Shapes of infra/config/*.yaml, and of the bodies on the `config` topic. Money in YAML is decimal text of the
 * currency ("0.045"), in memory bigint micros.
 */

const DECIMAL = /^\d{1,12}(\.\d{1,6})?$/;

/** Decimal text of a currency to micros (1e-6), exactly. */
export const microsOf = (decimal: string): bigint => {
  const [whole = '0', fraction = ''] = decimal.split('.');
  return BigInt(whole) * 1_000_000n + BigInt(fraction.padEnd(6, '0'));
};

/** Micros to decimal text with at least two places: 1500000n is "1.50". */
export const decimalOf = (micros: bigint): string => {
  const sign = micros < 0n ? '-' : '';
  const size = micros < 0n ? -micros : micros;
  const fraction = (size % 1_000_000n)
    .toString()
    .padStart(6, '0')
    .replace(/0{1,4}$/, '');
  return `${sign}${size / 1_000_000n}.${fraction}`;
};

const money = z.string().regex(DECIMAL, 'money is decimal text such as "0.045", at most 6 places');
const name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, 'lower-case letters, digits, - and _, at most 63');
const currency = z.string().regex(/^[A-Z]{3}$/, 'an ISO 4217 code such as CNY');
const positiveInt = z.int().positive();

/** What may be sent over a channel in a period (UTC), by a tenant or one of its business lines. */
const quotaSchema = z
  .strictObject({
    channel: name,
    period: z.enum(['day', 'month']),
    /** In the currency of the line; a tenant's lines then have one currency. */
    cash: money.optional(),
    /** In PV. */
    units: z.int().nonnegative().optional(),
    /** limit × factor is the hard stop; past the plain limit an alert is raised. */
    elasticFactor: z.number().min(1).max(9).multipleOf(0.001).default(1),
  })
  .refine(({ cash, units }) => cash !== undefined || units !== undefined, {
    message: 'a quota limits cash, units or both',
  });
export type QuotaConfig = z.infer<typeof quotaSchema>;

export const tenantSchema = z.strictObject({
  id: name,
  /** Topics ingest.<tenant>.p0..p3 of its own, where tenantId must match. */
  ownIngest: z.boolean().default(false),
  /** Lanes it may use. */
  lanes: z
    .array(z.enum(LANES))
    .nonempty()
    .default([...LANES]),
  /** Where its webhook channel posts to; absent: it has no webhook channel. */
  webhookUrl: z.url().optional(),
  /** Environment variable with its standard-webhooks secret (whsec_...). */
  webhookSecretEnv: z.string().optional(),
  /** Of all its lines together. */
  quotas: z.array(quotaSchema).optional(),
  businessLines: z
    .array(
      z.strictObject({
        name,
        currency,
        /** Granted once, when first applied. */
        initialCash: money,
        initialUnits: z.int().nonnegative(),
        /**
         * leased (the default): partitions spend of it by leases, and ask the ledger only for those; direct: the ledger is
         * asked about each batch of messages. Always direct where the tenant has quotas, and where little is left.
         */
        reserve: z.enum(['direct', 'leased']).optional(),
        quotas: z.array(quotaSchema).optional(),
      }),
    )
    .nonempty(),
});
export type TenantConfig = z.infer<typeof tenantSchema>;

export const templateSchema = z.strictObject({
  id: z.string().min(1).max(128),
  /** Tenants that may use it; empty: all. */
  tenants: z.array(name).default([]),
  /** Segments or exposures per message, in PV units. */
  units: positiveInt.max(1000).default(1),
  /** What each provider calls it, by provider name. */
  codes: z.record(z.string(), z.string()).default({}),
  /** Text with {placeholders}, for providers that take text. */
  text: z.string().default(''),
});
export type TemplateConfig = z.infer<typeof templateSchema>;

export const UNKNOWN_OUTCOME_POLICIES = ['query', 'receipt', 'retry', 'hold'] as const;

/** Adapters that can ask their provider what became of an attempt. */
export const QUERYING_ADAPTERS: readonly string[] = ['aliyun-sms'];

const HOUR_MS = 3_600_000;

export const providerSchema = z.strictObject({
  name,
  adapter: z.enum(['aliyun-sms', 'webhook', 'in-process']),
  /** Base URL; webhook takes the tenant's own instead. */
  url: z.url().optional(),
  /** Price of one unit on acceptance. */
  price: money,
  currency,
  billing: z.enum(['on_acceptance', 'on_delivery']),
  /** True only where the provider refuses a second submit under the same key. */
  dedupesOnKey: z.boolean(),
  /** What ends an attempt whose outcome nobody knows: our query, the carrier's receipt, a retry (dedupesOnKey only), a person. */
  unknownOutcome: z.enum(UNKNOWN_OUTCOME_POLICIES),
  /** True: acceptance is not final, a receipt follows. */
  receipts: z.boolean(),
  /** An attempt whose outcome nobody knows by then ends as `unknown`; who pays is `billing`'s matter. Default 72 h. */
  receiptHorizonMs: positiveInt.max(720 * HOUR_MS).default(72 * HOUR_MS),
  /** Deadline of one call. */
  timeoutMs: positiveInt.max(120_000).default(5_000),
  /** Bulkhead: calls under way at once, per worker. */
  concurrency: positiveInt.max(10_000).default(64),
  /** Messages a second, per worker; what level 1 of the breaker halves. */
  ratePerSecond: positiveInt.max(1_000_000).default(100_000),
  /** Calls of this provider for one message, first included. */
  maxAttempts: positiveInt.max(10).default(4),
  /** Adapter's own settings, never secrets: those are named by environment variable (..Env). */
  settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).default({}),
});
export type ProviderConfig = z.infer<typeof providerSchema>;

export const ADDRESSES = ['phone', 'email', 'openId', 'pushTokens', 'userId', 'webhook'] as const;

export const channelSchema = z.strictObject({
  name,
  /** What of the recipient (webhook: of the tenant) it needs. */
  address: z.enum(ADDRESSES),
  /** In order of preference. */
  providers: z.array(providerSchema).nonempty(),
});
export type ChannelConfig = z.infer<typeof channelSchema>;

export const policySchema = z.strictObject({
  /** Tiers that count as high value. */
  highValueTiers: z.array(z.string()).default([]),
  /** When a request lists no channels. */
  defaultChannels: z.array(name).nonempty(),
  /** First match wins; then the preference order of the request. */
  rules: z
    .array(
      z.strictObject({
        name,
        when: z.strictObject({
          attribute: z.array(z.string()).nonempty().optional(),
          highValue: z.boolean().optional(),
          lane: z.array(z.enum(LANES)).nonempty().optional(),
        }),
        /** Preferred, where allowed and addressable. */
        channels: z.array(name).nonempty(),
      }),
    )
    .default([]),
});
export type PolicyConfig = z.infer<typeof policySchema>;

export const windowsSchema = z.strictObject({
  lengthMs: positiveInt.default(300_000),
  graceMs: z.int().nonnegative().default(30_000),
  /** A source partition silent for so long no longer holds a window open. */
  silenceMs: positiveInt.default(120_000),
  /** Late records revise windows that closed at most so long ago. */
  retentionMs: positiveInt.default(3_600_000),
  /** Tenants with a series of their own; the rest is `other`. */
  maxTenants: positiveInt.default(200),
});
export type WindowsConfig = z.infer<typeof windowsSchema>;

export const breakerSchema = z.strictObject({
  level1: z.strictObject({
    tripErrorRate: z.number().min(0).max(1).default(0.08),
    tripMinAttempts: positiveInt.default(200),
    recoverErrorRate: z.number().min(0).max(1).default(0.05),
    recoverWindows: positiveInt.default(3),
    recoverMinProbes: positiveInt.default(20),
    /** Lowest rate factor: the floor of probes. */
    minRateFactor: z.number().positive().max(1).default(0.03125),
    /** No change of level sooner than this after the last. */
    minDwellMs: z.int().nonnegative().default(0),
    /** A tripped scope without any probe for so long tries again at a higher rate. */
    stuckAfterMs: positiveInt.default(1_800_000),
  }),
  heartbeatMs: positiveInt.default(10_000),
});
export type BreakerConfig = z.infer<typeof breakerSchema>;

export const lanesSchema = z.strictObject({
  /** Records a transaction takes at most. */
  maxBatch: z.record(z.enum(LANES), positiveInt.max(10_000)),
  /** After a transaction a task rests so many times as long as that took, at most half a second. Lanes not named: 0. */
  rest: z.partialRecord(z.enum(LANES), z.number().nonnegative().max(10)).default({}),
});
export type LanesConfig = z.infer<typeof lanesSchema>;

const isTimeZone = (text: string): boolean => {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: text }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
};

const timeZone = z.string().refine(isTimeZone, 'an IANA time zone such as Asia/Shanghai');
/** CEL; what it may name is in recharge-conditions.ts, and config-checks.ts compiles it. */
const condition = z.string().min(1).max(2_000);
const MINUTE_MS = 60_000;

export const rechargeRuleSchema = z.strictObject({
  name,
  tenant: name,
  /** Absent: every line of the tenant, each on its own. */
  businessLine: name.optional(),
  when: condition,
  /** Of hour, weekday and the day of the cap; absent: the file's. */
  timeZone: timeZone.optional(),
  /** What one recharge grants: cash in `currency`, PV, or both. */
  cash: money.default('0'),
  currency: currency.optional(),
  units: z.int().nonnegative().default(0),
  /** Of one account by this rule in a calendar day; what would go beyond is not proposed. */
  dailyCap: z.strictObject({
    cash: money.default('0'),
    units: z.int().nonnegative().default(0),
  }),
  /** From one proposal of this rule to the next for the same account, also after one that was rejected. */
  coolDownMs: z
    .int()
    .min(MINUTE_MS)
    .max(30 * 24 * HOUR_MS),
  /** A recharge of more than one of these is reviewed; an amount that is not named needs no review. */
  approveAbove: z.strictObject({
    cash: money.optional(),
    units: z.int().nonnegative().optional(),
  }),
});
export type RechargeRule = z.infer<typeof rechargeRuleSchema>;

export const REVIEW_VERDICTS = ['approve', 'reject', 'escalate'] as const;
export type ReviewVerdict = (typeof REVIEW_VERDICTS)[number];

export const rechargeSchema = z
  .strictObject({
    timeZone: timeZone.default('UTC'),
    /** perHour in conditions is what was spent within so long. */
    burnWindowMs: z
      .int()
      .min(MINUTE_MS)
      .max(7 * 24 * HOUR_MS)
      .default(HOUR_MS),
    /** In order: the first that holds for an account is the one that recharges it. */
    rules: z.array(rechargeRuleSchema).default([]),
    review: z
      .strictObject({
        /** First match wins; none: `http` is asked, where it is there, else a person. */
        rules: z
          .array(z.strictObject({ name, when: condition, verdict: z.enum(REVIEW_VERDICTS) }))
          .default([]),
        http: z
          .strictObject({
            url: z.url({ protocol: /^https?$/ }),
            deadlineMs: positiveInt.max(30_000).default(5_000),
            /** Environment variable of the settle workers with a bearer token. */
            tokenEnv: z.string().optional(),
          })
          .optional(),
        /** A person who has not answered by then is escalated. */
        answerWithinMs: z
          .int()
          .min(MINUTE_MS)
          .max(30 * 24 * HOUR_MS)
          .default(HOUR_MS),
      })
      .prefault({}),
  })
  .prefault({});
export type RechargeConfig = z.infer<typeof rechargeSchema>;

/** Everything, as workers hold it. One entry of the `config` topic per kind. */
export const configSchemas = {
  tenants: z.array(tenantSchema).nonempty(),
  templates: z.array(templateSchema).nonempty(),
  channels: z.array(channelSchema).nonempty(),
  policy: policySchema,
  windows: windowsSchema,
  breaker: breakerSchema,
  lanes: lanesSchema,
  recharge: rechargeSchema,
} as const;
export type ConfigKind = keyof typeof configSchemas;
export const CONFIG_KINDS = Object.keys(configSchemas) as readonly ConfigKind[];
/** The value of a kind that is not there (no file, never published); undefined: it must be there. */
export const absentConfig = (kind: ConfigKind): unknown =>
  configSchemas[kind].safeParse(undefined).data;
export type BusinessConfig = { readonly [K in ConfigKind]: z.infer<(typeof configSchemas)[K]> };
