import type { BreakerLevel, ChannelWindow } from '../../schemas/generated/records.js';
import type { Decoded } from '../read/decoded.js';

/** Levels and windows as the reader saw them. */
export class BreakerLog {
  readonly #changes: BreakerLevel[] = [];
  readonly #now = new Map<string, BreakerLevel>();
  readonly #windows = new Map<string, ChannelWindow>();

  observe({ decoded }: Decoded): void {
    if (decoded.is === 'ChannelWindow' && decoded.value.series === 'channel') {
      const { channel, provider, lane, windowStart } = decoded.value;
      this.#windows.set(`${channel}/${provider ?? ''}/${lane ?? ''}/${windowStart}`, decoded.value);
    }
    if (decoded.is !== 'BreakerLevel' || decoded.value.heartbeat) return;
    const level = decoded.value;
    this.#now.set(level.scope, level);
    if (level.level !== level.fromLevel || level.rateFactor !== level.fromRateFactor)
      this.#changes.push(level);
  }

  /** Changes of level or rate, in order. */
  get changes(): readonly BreakerLevel[] {
    return [...this.#changes].sort((a, b) => a.at - b.at);
  }

  /** Changes of level only: what the demo counts as transitions. */
  get transitions(): readonly BreakerLevel[] {
    return this.changes.filter((change) => change.level !== change.fromLevel);
  }

  get levels(): readonly BreakerLevel[] {
    return [...this.#now.values()].sort((a, b) => a.scope.localeCompare(b.scope));
  }

  hasTripped(scope: string): boolean {
    return this.#changes.some((change) => change.scope === scope && change.level > 0);
  }

  /** Tripped once, and back at level 0. */
  hasRecovered(scope: string): boolean {
    return this.hasTripped(scope) && this.#now.get(scope)?.level === 0;
  }

  /** The newest window of a channel and provider, its lanes added up. */
  newest(channel: string, provider: string): { attempts: number; errors: number } | undefined {
    const own = [...this.#windows.values()].filter(
      (window) => window.channel === channel && window.provider === provider && window.attempts > 0,
    );
    const latest = Math.max(...own.map((window) => window.windowStart));
    const lanes = own.filter((window) => window.windowStart === latest);
    if (lanes.length === 0) return undefined;
    return {
      attempts: lanes.reduce((sum, { attempts }) => sum + attempts, 0),
      errors: lanes.reduce(
        (sum, window) => sum + window.failedProvider + window.timeout + window.failedAccount,
        0,
      ),
    };
  }
}
