import type { Lane } from '../schemas/generated/records.js';

/** Fixed delays of the retry topics: one delay a topic, so that its order is time order. */
export const RETRY_DELAYS = ['5s', '30s', '2m', '10m'] as const;
export type RetryDelay = (typeof RETRY_DELAYS)[number];

/** The delays in milliseconds. */
export const RETRY_DELAY_MS: Readonly<Record<RetryDelay, number>> = {
  '5s': 5_000,
  '30s': 30_000,
  '2m': 120_000,
  '10m': 600_000,
};

/** Stages that replay, redrive, release and diversion may put records back to. */
export const AGAIN_STAGES = ['dedupe', 'budget-reserve', 'route', 'send'] as const;
export type AgainStage = (typeof AGAIN_STAGES)[number];

/**
 * Full names of all topics under a prefix. The names are the public contract (docs/contract): they never change;
 * what is under `internal` is ours alone.
 */
export const topicNames = (prefix: string) =>
  ({
    ingest: (lane: Lane) => `${prefix}ingest.${lane}`,
    tenantIngest: (tenant: string, lane: Lane) => `${prefix}ingest.${tenant}.${lane}`,
    deduped: (lane: Lane) => `${prefix}deduped.${lane}`,
    reserved: (lane: Lane) => `${prefix}reserved.${lane}`,
    routed: (channel: string, lane: Lane) => `${prefix}routed.${channel}.${lane}`,
    retry: (delay: RetryDelay, lane: Lane) => `${prefix}retry.${delay}.${lane}`,
    parked: (lane: Lane) => `${prefix}parked.${lane}`,
    again: (stage: AgainStage, lane: Lane) => `${prefix}again.${stage}.${lane}`,
    feedback: `${prefix}feedback`,
    receipts: `${prefix}receipts`,
    retryReceipts: `${prefix}retry.receipts`,
    refused: `${prefix}refused`,
    deadLetters: `${prefix}dead-letters`,
    windows: `${prefix}windows`,
    breakerLevels: `${prefix}breaker.levels`,
    breakerCommands: `${prefix}breaker.commands`,
    config: `${prefix}config`,
    accounts: `${prefix}accounts`,
    internal: {
      dedupe: (lane: Lane) => `${prefix}internal.dedupe.${lane}`,
      spends: (lane: Lane) => `${prefix}internal.spends.${lane}`,
      leases: (lane: Lane) => `${prefix}internal.leases.${lane}`,
      claims: (lane: Lane) => `${prefix}internal.claims.${lane}`,
      claimsRetry: (lane: Lane) => `${prefix}internal.claims-retry.${lane}`,
      schedule: (lane: Lane) => `${prefix}internal.schedule.${lane}`,
      unknown: `${prefix}internal.unknown`,
      unknownWaiting: `${prefix}internal.unknown.waiting`,
      windowsOpen: `${prefix}internal.windows.open`,
      windowsPartials: `${prefix}internal.windows.partials`,
      windowsMerging: `${prefix}internal.windows.merging`,
      breakerScopes: `${prefix}internal.breaker.scopes`,
      /** `millrace doctor` compares clocks by it: brokers stamp its records with their own. */
      clock: `${prefix}internal.clock`,
    },
  }) as const;

export type TopicNames = ReturnType<typeof topicNames>;
