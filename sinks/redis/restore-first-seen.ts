import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Redis } from 'ioredis';
import { projectRoot } from '../../schemas/root.js';
import type { Packable } from './packing.js';
import { pack } from './packing.js';
import { redisError } from './redis-error.js';
import { WHOLE, markerOf } from './wholeness.js';

/** An entry of the global dedupe layer, as it was made when the record was first seen. */
export interface Restorable extends Required<Packable> {
  /** ms since the epoch. */
  readonly expiresAt: number;
}

export interface Restored {
  /** Were not there; with `write` they are now. */
  readonly absent: number;
  /** Are there, with the same coordinates. */
  readonly same: number;
  /** Another record holds the key, and keeps it. */
  readonly others: number;
}

/** Keys of an installation, for SCAN: an asterisk in a prefix is not allowed, the other signs are no patterns. */
const SCAN_COUNT = 2_000;

/**
 * Rebuilds what redisFirstSeen keeps (sinks/redis/first-seen.ts). Safe beside running workers: an entry that is there
 * is never touched.
 * @throws from all: PipelineError redis_unavailable (retry) | redis_refused (stop)
 */
export const firstSeenRestorer = (redis: Redis, topicPrefix: string) => {
  const prefix = `${topicPrefix}seen:`;
  const text = readFileSync(path.join(projectRoot(), 'sinks', 'redis', 'restore.lua'), 'utf8');
  return {
    async restore(entries: readonly Restorable[], write: boolean): Promise<Restored> {
      const { topics, packed } = pack(entries);
      try {
        const answer = (await redis.callBuffer(
          'EVAL',
          text,
          0,
          prefix,
          write ? 1 : 0,
          topics.length,
          ...topics,
          packed,
          entries.map(({ expiresAt }) => Math.round(expiresAt)).join(','),
        )) as readonly number[];
        const [absent = 0, same = 0, others = 0] = answer;
        return { absent, same, others };
      } catch (cause) {
        throw redisError(cause);
      }
    },

    /** All keys of the span are there: workers say so within seconds. */
    async whole(): Promise<void> {
      try {
        await redis.set(markerOf(topicPrefix), WHOLE);
      } catch (cause) {
        throw redisError(cause);
      }
    },

    /** How many keys are held now. */
    async count(): Promise<number> {
      let cursor = '0';
      let keys = 0;
      try {
        do {
          const [next, found] = await redis.scan(
            cursor,
            'MATCH',
            `${prefix}*`,
            'COUNT',
            SCAN_COUNT,
          );
          cursor = next;
          keys += found.length;
        } while (cursor !== '0');
      } catch (cause) {
        throw redisError(cause);
      }
      return keys;
    },
  };
};

export type FirstSeenRestorer = ReturnType<typeof firstSeenRestorer>;
