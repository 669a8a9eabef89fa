import type { EpochMs } from '../../schemas/brand.js';
import type { BreakerCommand } from '../../schemas/generated/records.js';
import { type Level1, type Level1Rules, opened } from './level-1.js';

export type Commanded =
  | { readonly is: 'obeyed'; readonly level1: Level1; readonly cause: string }
  /** Recorded by the topic alone: it changes nothing here. */
  | { readonly is: 'ignored' };

/**
 * What a person's command does to level 1.
 * hold: to the floor, and no window or time-out changes it until it is released.
 * release, set 0: open at once; windows that began before it no longer count, or they would trip it again.
 * set 1: half the present rate, as if a window had tripped it; recovers by itself.
 * Anything else (confirm and levels 2 and 3 are other scopes') is ignored.
 */
export const obey = (
  level1: Level1,
  { action, level, actor, reason }: BreakerCommand,
  rules: Level1Rules,
  now: EpochMs,
): Commanded => {
  const cause = (what: string): string => `${what} by ${actor}: ${reason}`;
  switch (action) {
    case 'hold':
      return {
        is: 'obeyed',
        level1: {
          ...level1,
          rateFactor: Math.min(level1.rateFactor, rules.minRateFactor),
          held: true,
          since: now,
          quietSince: now,
        },
        cause: cause('held'),
      };
    case 'release':
      return {
        is: 'obeyed',
        level1: { ...opened(now), evidenceFrom: now },
        cause: cause('released'),
      };
    case 'set':
      if (level === 0)
        return {
          is: 'obeyed',
          level1: { ...opened(now), evidenceFrom: now },
          cause: cause('set to level 0'),
        };
      if (level === 1)
        return {
          is: 'obeyed',
          level1: {
            ...level1,
            rateFactor: Math.max(rules.minRateFactor, level1.rateFactor / 2),
            evidenceFrom: now,
            held: false,
            since: now,
            quietSince: now,
          },
          cause: cause('set to level 1'),
        };
      return { is: 'ignored' };
    default:
      return { is: 'ignored' };
  }
};
