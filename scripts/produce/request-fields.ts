import { v7 } from 'uuid';
import { z } from 'zod';
import { messageId, tenantId } from '../../schemas/brand.js';
import { microsOf } from '../../schemas/config.js';
import type { Lane, MessageRequest } from '../../schemas/generated/records.js';
import { LANES } from '../../schemas/generated/records.js';

/**
 * A request as people write it, in JSON or as a row of CSV. Only what the encoder needs is checked here, with the
 * field's name: whether the pipeline takes it is the pipeline's to say, on `refused`.
 */

const text = z.string();
const optionalText = z.string().nullish();
const labels = z.record(z.string(), z.string());
/** ms since the epoch, or ISO 8601. */
const time = z.union([
  z.int().nonnegative(),
  z.string().transform((written, context) => {
    const parsed = /^\d+$/.test(written) ? Number(written) : Date.parse(written);
    if (Number.isNaN(parsed))
      context.addIssue({ code: 'custom', message: 'is no time: write 2026-01-31T08:00:00Z or ms' });
    return parsed;
  }),
]);
const wholeNumber = z.union([
  z.int(),
  z
    .string()
    .regex(/^-?\d+$/, 'is no whole number')
    .transform(Number),
]);

const requestSchema = z.strictObject({
  messageId: z.string().nullish(),
  tenantId: text.min(1, 'is empty'),
  businessLine: text.min(1, 'is empty'),
  attribute: text.default('transactional'),
  idempotencyKey: optionalText,
  campaignId: optionalText,
  recipient: z.strictObject({
    userId: text.min(1, 'is empty'),
    phone: optionalText,
    email: optionalText,
    openId: optionalText,
    pushTokens: z.array(text).default([]),
    tier: optionalText,
  }),
  templateId: text.min(1, 'is empty'),
  params: labels.default({}),
  channels: z.array(text).default([]),
  units: wholeNumber.nullish(),
  maxCostMicros: wholeNumber.nullish(),
  /** The same as decimal text of the currency. */
  maxCost: z
    .string()
    .regex(/^\d{1,9}(\.\d{1,6})?$/, 'is no amount such as "0.05"')
    .nullish(),
  currency: optionalText,
  locale: optionalText,
  timeZone: optionalText,
  createdAt: time.nullish(),
  notBefore: time.nullish(),
  expiresAt: time.nullish(),
  labels: labels.default({}),
  /** Not part of the record: which topic it goes to, and under which key. */
  lane: z.enum(LANES).nullish(),
  key: optionalText,
});

export interface ParsedRequest {
  readonly request: MessageRequest;
  readonly lane: Lane;
  /** The recipient's user id unless the input names another. */
  readonly key: string;
}

/** Field and what is wrong with it. */
export interface FieldError {
  readonly field: string;
  readonly message: string;
}

const wordsFor = (issue: z.core.$ZodIssue): string => {
  if (issue.code === 'unrecognized_keys') return `no such field: ${issue.keys.join(', ')}`;
  if (issue.code === 'invalid_type' && issue.message.includes('received undefined'))
    return 'is missing';
  return issue.message.replace(/^Invalid input: /, '');
};

/** One request, or every error in it. createdAt and messageId are made where they are absent. */
export const parseRequest = (
  input: unknown,
  defaults: { readonly lane: Lane; readonly now: number },
): ParsedRequest | { readonly errors: readonly FieldError[] } => {
  const parsed = requestSchema.safeParse(input);
  if (!parsed.success)
    return {
      errors: parsed.error.issues.map((issue) => ({
        field: issue.path.join('.'),
        message: wordsFor(issue),
      })),
    };
  const { lane, key, maxCost, ...fields } = parsed.data;
  const { recipient } = fields;
  return {
    lane: lane ?? defaults.lane,
    key: key ?? recipient.userId,
    request: {
      ...fields,
      messageId: messageId(fields.messageId ?? v7()),
      tenantId: tenantId(fields.tenantId),
      idempotencyKey: fields.idempotencyKey ?? null,
      campaignId: fields.campaignId ?? null,
      recipient: {
        userId: recipient.userId,
        phone: recipient.phone ?? null,
        email: recipient.email ?? null,
        openId: recipient.openId ?? null,
        pushTokens: recipient.pushTokens,
        tier: recipient.tier ?? null,
      },
      units: fields.units ?? null,
      maxCostMicros:
        maxCost != null
          ? microsOf(maxCost)
          : fields.maxCostMicros == null
            ? null
            : BigInt(fields.maxCostMicros),
      currency: fields.currency ?? null,
      locale: fields.locale ?? null,
      timeZone: fields.timeZone ?? null,
      createdAt: fields.createdAt ?? defaults.now,
      notBefore: fields.notBefore ?? null,
      expiresAt: fields.expiresAt ?? null,
    },
  };
};
