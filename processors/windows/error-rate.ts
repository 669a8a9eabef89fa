import type { ChannelWindow } from '../../schemas/generated/records.js';

/**
 * What counts as an error of a provider: the one place that says so. A wrong number or refused content is the
 * tenant's data, throttling is a control loop of its own, and an unknown outcome blames nobody.
 */
export const ERROR_COUNTS = [
  'failedProvider',
  'timeout',
  'failedAccount',
] as const satisfies readonly (keyof ChannelWindow)[];

export type ErrorCounts = Readonly<Record<(typeof ERROR_COUNTS)[number], number>>;

export const errorsOf = (counts: ErrorCounts): number =>
  ERROR_COUNTS.reduce((sum, name) => sum + counts[name], 0);

/**
 * Errors ÷ attempts; 0 without attempts. The denominator is attempts, never failures. It can pass 1: a failure that
 * a carrier reports later counts in the window of its report, its attempt in an earlier one.
 */
export const errorRate = (counts: ErrorCounts & { readonly attempts: number }): number =>
  counts.attempts === 0 ? 0 : errorsOf(counts) / counts.attempts;
