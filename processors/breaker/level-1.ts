import type { EpochMs } from '../../schemas/brand.js';
import type { BreakerConfig } from '../../schemas/config.js';

/**
 * Level 1 of the breaker for one channel × provider, as a function of what its windows say now. Nothing is counted
 * up from window to window: a revision changes a window, and the next judgement sees it as it is.
 *
 * open     rateFactor 1
 * lowered  rateFactor < 1: a bad window halves it, down to the floor; good windows double it; a time-out doubles it
 * held     by a person: at the floor until a person releases it
 */
export type Level1Rules = BreakerConfig['level1'];

export interface Level1 {
  readonly rateFactor: number;
  /** Wall clock of the last change. */
  readonly since: EpochMs;
  /** Wall clock when a bad window was last taken note of, or the last change. */
  readonly quietSince: EpochMs;
  /** Start of the newest window that was taken note of as bad: no window lowers twice. */
  readonly loweredBy: EpochMs | null;
  /** Start of the newest window that raised: none raises twice. */
  readonly raisedBy: EpochMs | null;
  /** Windows that began before it are no evidence: a person has judged since. */
  readonly evidenceFrom: EpochMs;
  readonly held: boolean;
}

/** One window of the scope, summed over lanes. */
export interface Tally {
  readonly windowStart: EpochMs;
  readonly windowMs: number;
  readonly attempts: number;
  readonly errors: number;
}

export interface Judgement {
  readonly level1: Level1;
  /** Why the rate changed; null: it did not, but the state took note of something. */
  readonly cause: string | null;
  readonly window: Tally | null;
}

export const opened = (now: EpochMs): Level1 => ({
  rateFactor: 1,
  since: now,
  quietSince: now,
  loweredBy: null,
  raisedBy: null,
  evidenceFrom: 0,
  held: false,
});

export const rateOf = ({ attempts, errors }: Tally): number =>
  attempts === 0 ? 0 : errors / attempts;

const percent = (rate: number): string => `${(rate * 100).toFixed(1)} %`;

const after = (start: EpochMs, mark: EpochMs | null): boolean => mark === null || start > mark;

/**
 * Attempts below which a window proves nothing bad. A lowered scope gets fewer messages: the bound falls with its
 * rate, or a provider that stays bad at half rate would never be lowered again.
 */
export const leastAttempts = (rateFactor: number, rules: Level1Rules): number =>
  rateFactor >= 1
    ? rules.tripMinAttempts
    : Math.max(
        Math.min(rules.recoverMinProbes, rules.tripMinAttempts),
        Math.ceil(rules.tripMinAttempts * rateFactor),
      );

/** The newest windows, newest first, for as long as each is good. */
const goodRun = (evidence: readonly Tally[], rules: Level1Rules): readonly Tally[] => {
  const newestFirst = evidence.toReversed();
  const end = newestFirst.findIndex((window) => rateOf(window) >= rules.recoverErrorRate);
  return end === -1 ? newestFirst : newestFirst.slice(0, end);
};

/** `windows` by start, oldest first. null: nothing to take note of. */
export const judge = (
  level1: Level1,
  windows: readonly Tally[],
  rules: Level1Rules,
  now: EpochMs,
): Judgement | null => {
  if (level1.held || now - level1.since < rules.minDwellMs) return null;
  const evidence = windows.filter(
    ({ windowStart, attempts }) => attempts > 0 && windowStart >= level1.evidenceFrom,
  );
  const run = goodRun(evidence, rules);
  return (
    lower(level1, evidence, run, rules, now) ??
    raise(level1, run, rules, now) ??
    timeOut(level1, rules, now)
  );
};

const lower = (
  level1: Level1,
  evidence: readonly Tally[],
  run: readonly Tally[],
  rules: Level1Rules,
  now: EpochMs,
): Judgement | null => {
  // A late revision may turn an old window bad; what came after it has already answered.
  if (run.length >= rules.recoverWindows) return null;
  const least = leastAttempts(level1.rateFactor, rules);
  const bad = evidence.findLast(
    (window) => window.attempts >= least && rateOf(window) > rules.tripErrorRate,
  );
  if (bad === undefined || !after(bad.windowStart, level1.loweredBy)) return null;
  if (level1.raisedBy !== null && bad.windowStart < level1.raisedBy) return null;
  const rateFactor = Math.max(rules.minRateFactor, level1.rateFactor / 2);
  const noted = { ...level1, loweredBy: bad.windowStart, quietSince: now };
  if (rateFactor >= level1.rateFactor) return { level1: noted, cause: null, window: bad };
  return {
    level1: { ...noted, rateFactor, since: now },
    cause:
      `error rate ${percent(rateOf(bad))} of ${bad.attempts} attempts is above ` +
      `${percent(rules.tripErrorRate)} (at least ${least} attempts): rate ${level1.rateFactor} → ${rateFactor}`,
    window: bad,
  };
};

const raise = (
  level1: Level1,
  run: readonly Tally[],
  rules: Level1Rules,
  now: EpochMs,
): Judgement | null => {
  const [newest] = run;
  if (level1.rateFactor >= 1 || newest === undefined || run.length < rules.recoverWindows)
    return null;
  // Each step asks for probes of its own: those that raised before cannot raise again.
  const fresh = run.filter(({ windowStart }) => after(windowStart, level1.raisedBy));
  const probes = fresh.reduce((sum, { attempts }) => sum + attempts, 0);
  if (!after(newest.windowStart, level1.raisedBy) || probes < rules.recoverMinProbes) return null;
  const rateFactor = Math.min(1, level1.rateFactor * 2);
  return {
    level1: { ...level1, rateFactor, since: now, quietSince: now, raisedBy: newest.windowStart },
    cause:
      `${run.length} windows in a row below ${percent(rules.recoverErrorRate)}, ${probes} probes ` +
      `since the last step: rate ${level1.rateFactor} → ${rateFactor}`,
    window: newest,
  };
};

/**
 * Whatever the evidence (no probe at all, too few, or neither good nor bad), a lowered scope tries more after a
 * while without a bad window: no state waits for something that may never come.
 */
const timeOut = (level1: Level1, rules: Level1Rules, now: EpochMs): Judgement | null => {
  if (level1.rateFactor >= 1 || now - level1.quietSince < rules.stuckAfterMs) return null;
  const rateFactor = Math.min(1, level1.rateFactor * 2);
  return {
    level1: { ...level1, rateFactor, since: now, quietSince: now },
    cause:
      `no bad window for ${Math.round((now - level1.quietSince) / 1000)} s, and too little to ` +
      `recover by windows: rate ${level1.rateFactor} → ${rateFactor}`,
    window: null,
  };
};
