import { z } from 'zod';

const share = z.number().min(0).max(1);
/** Shares by code; together at most 1. */
const mix = z
  .record(z.string(), share)
  .refine((codes) => sum(codes) <= 1.000_001, 'shares add up to more than 1');
/** A log-normal distribution by two of its quantiles, in milliseconds. 0 and 0: none. */
const delay = z.strictObject({ p50: z.number().min(0), p99: z.number().min(0) });

const sum = (codes: Readonly<Record<string, number>>): number =>
  Object.values(codes).reduce((total, one) => total + one, 0);

/** How one simulated endpoint behaves. */
export const behaviourSchema = z.strictObject({
  /** Time to answer. */
  latencyMs: delay,
  /** Share of requests refused, by the provider's own code (webhook: HTTP status). */
  errors: mix,
  /** Requests a second; those above are throttled. 0: no limit. */
  throttlePerSecond: z.number().min(0),
  /** Share of requests that are carried out and never answered: what makes an outcome ambiguous. */
  unanswered: share,
  /** Nothing is carried out. error: HTTP 503; hang: no answer; reset: the connection is cut. */
  outage: z.enum(['none', 'error', 'hang', 'reset']),
  receipts: z.strictObject({
    delayMs: delay,
    /** Share of accepted messages reported as failed, by the carrier's code. */
    errors: mix,
    /** Share pushed a second time although acknowledged. */
    duplicate: share,
    /** Share that comes after lateMs instead. */
    late: share,
    lateMs: z.number().min(0),
    /** Share that never comes. */
    lost: share,
  }),
});
export type Behaviour = z.infer<typeof behaviourSchema>;

/** A change of some of it. */
export const changeSchema = behaviourSchema
  .omit({ receipts: true })
  .partial()
  .extend({ receipts: behaviourSchema.shape.receipts.partial().optional() });
export type Change = z.infer<typeof changeSchema>;

/** POST /control. */
export const controlSchema = z.strictObject({
  /** Which endpoint; absent: all. */
  endpoint: z.string().max(128).optional(),
  /** Back to the defaults first. */
  reset: z.boolean().optional(),
  /** From now on. */
  change: changeSchema.optional(),
  /** Later, in milliseconds from now. */
  schedule: z
    .array(z.strictObject({ afterMs: z.number().min(0), change: changeSchema }))
    .max(1000)
    .optional(),
});
export type Control = z.infer<typeof controlSchema>;

const HOUR_MS = 3_600_000;

/**
 * Calibrated for SMS: about 5 % of a trace fails, nearly all for the recipient's sake and reported by receipt; answers
 * come in tens of milliseconds, receipts mostly in seconds, a few only up to 72 h later.
 */
export const SMS_DEFAULTS: Behaviour = {
  latencyMs: { p50: 15, p99: 120 },
  errors: {},
  throttlePerSecond: 0,
  unanswered: 0,
  outage: 'none',
  receipts: {
    delayMs: { p50: 2_000, p99: 20_000 },
    errors: {
      MOBILE_NOT_ON_SERVICE: 0.02,
      INVALID_NUMBER: 0.012,
      MOBILE_IN_BLACK: 0.007,
      USER_REJECT: 0.004,
      CONTENT_KEYWORD: 0.004,
      SP_UNKNOWN_ERROR: 0.003,
    },
    duplicate: 0.01,
    late: 0.002,
    lateMs: 72 * HOUR_MS,
    lost: 0,
  },
};

/** A tenant's receiver: quick, and seldom in trouble. */
export const WEBHOOK_DEFAULTS: Behaviour = {
  ...SMS_DEFAULTS,
  latencyMs: { p50: 5, p99: 60 },
  errors: { '500': 0.002 },
};

export const changed = (behaviour: Behaviour, change: Change): Behaviour => {
  const { receipts, ...rest } = change;
  return behaviourSchema.parse({
    ...behaviour,
    ...rest,
    receipts: { ...behaviour.receipts, ...receipts },
  });
};
