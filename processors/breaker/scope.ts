import type { EpochMs } from '../../schemas/brand.js';
import type { BreakerLevel, ChannelWindow } from '../../schemas/generated/records.js';
import { errorsOf } from '../windows/error-rate.js';
import { type Level1, type Tally, opened, rateOf } from './level-1.js';

/** Newest windows that a scope remembers; more than any recovery counts over, and bounded. */
const MOST_WINDOWS = 64;

/** One window of a scope, by lane: lanes close and are revised each for itself. */
export interface ScopeWindow {
  readonly windowStart: EpochMs;
  readonly windowMs: number;
  readonly lanes: Readonly<
    Record<
      string,
      { readonly revision: number; readonly attempts: number; readonly errors: number }
    >
  >;
}

/** All that the breaker knows of one channel × provider. */
export interface ScopeState {
  readonly scope: string;
  readonly channel: string;
  readonly provider: string;
  readonly level1: Level1;
  /** By start, oldest first. */
  readonly windows: readonly ScopeWindow[];
  /** Windows came since it was last judged. */
  readonly unjudged: boolean;
  /** When the last command that was taken note of was given. */
  readonly commandAt: EpochMs;
  /** The last event as written; null: none yet. */
  readonly last: BreakerLevel | null;
}

/** The scope of level 1, as in BreakerLevel, and the Kafka key of its windows and levels. */
export const scopeOf = (channel: string, provider: string): string =>
  `channel/${channel}/${provider}`;

export const newScope = (channel: string, provider: string, now: EpochMs): ScopeState => ({
  scope: scopeOf(channel, provider),
  channel,
  provider,
  level1: opened(now),
  windows: [],
  unjudged: false,
  commandAt: 0,
  last: null,
});

/** The scope with one lane's window in its newest revision; the scope itself where it says nothing new. */
export const withWindow = (scope: ScopeState, window: ChannelWindow): ScopeState => {
  const { windowStart, windowMs, revision, attempts } = window;
  const lane = window.lane ?? '';
  const found = scope.windows.find(
    (one) => one.windowStart === windowStart && one.windowMs === windowMs,
  );
  const before = found?.lanes[lane];
  if (before !== undefined && before.revision >= revision) return scope;
  const merged: ScopeWindow = {
    windowStart,
    windowMs,
    lanes: { ...found?.lanes, [lane]: { revision, attempts, errors: errorsOf(window) } },
  };
  const windows = [...scope.windows.filter((one) => one !== found), merged]
    .sort((a, b) => a.windowStart - b.windowStart || a.windowMs - b.windowMs)
    .slice(-MOST_WINDOWS);
  return { ...scope, windows, unjudged: true };
};

/** Windows summed over their lanes: the error rate of a sum is never an average of rates. */
export const tallies = ({ windows }: ScopeState): readonly Tally[] =>
  windows.map(({ windowStart, windowMs, lanes }) => {
    let attempts = 0;
    let errors = 0;
    for (const lane of Object.values(lanes)) {
      attempts += lane.attempts;
      errors += lane.errors;
    }
    return { windowStart, windowMs, attempts, errors };
  });

/** The event that says what the scope is now. `window`: what caused it. */
export const levelEvent = (
  scope: ScopeState,
  level1: Level1,
  cause: string,
  window: Tally | null,
  now: EpochMs,
): BreakerLevel => {
  const level = level1.rateFactor < 1 ? 1 : 0;
  return {
    scope: scope.scope,
    channel: scope.channel,
    provider: scope.provider,
    level,
    fromLevel: scope.last?.level ?? 0,
    rateFactor: level1.rateFactor,
    fromRateFactor: scope.last?.rateFactor ?? 1,
    avoid: level === 1,
    cause,
    windowStart: window?.windowStart ?? null,
    windowMs: window?.windowMs ?? null,
    errorRate: window === null ? null : rateOf(window),
    attempts: window?.attempts ?? null,
    since: level1.since,
    at: now,
    heartbeat: false,
  };
};
