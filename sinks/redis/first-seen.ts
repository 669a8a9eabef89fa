import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Redis } from 'ioredis';
import { messageId } from '../../schemas/brand.js';
import type { PipelineError } from '../../schemas/error.js';
import type { MessageId } from '../../schemas/brand.js';
import type { Coordinates } from '../../schemas/record.js';
import { projectRoot } from '../../schemas/root.js';
import { PATIENCE_MS } from './client.js';
import { pack, unpack } from './packing.js';
import { redisError } from './redis-error.js';
import { emptySince, markerOf } from './wholeness.js';

/** As processors/dedupe/first-seen.ts has it, with what each field means. */
interface Sighting {
  readonly key: Buffer;
  readonly content: Buffer;
  readonly messageId: MessageId;
  readonly at: Coordinates;
}

type Release = Pick<Sighting, 'key' | 'at'>;
type First = Pick<Sighting, 'content' | 'messageId' | 'at'>;

export interface FirstSeenOptions {
  readonly redis: Redis;
  /** TOPIC_PREFIX: installations that share a Redis never meet. */
  readonly topicPrefix: string;
  /** The layer is away: dedupe goes on without it. Called at most once a batch, with how many records it concerns. */
  readonly onDegraded: (error: PipelineError, undeduped: number) => void;
  /** It answers, but lost what it knew, at this time (ms since the epoch): only its keys since then are deduped by it. */
  readonly onEmpty: (since: number) => void;
  /** It answers and has all keys of the span, after having been away or empty. */
  readonly onRecovered: () => void;
}

/** While it is known to be empty, how often it is asked whether it was rebuilt: lanes without traffic ask nothing. */
const LOOK_MS = 2_000;
/** Between tries while Redis is given its time: it is loading, or its connection is dialled anew. */
const AGAIN_MS = 25;

interface Script {
  readonly text: string;
  readonly sha: string;
}

const script = (name: string): Script => {
  const text = readFileSync(path.join(projectRoot(), 'sinks', 'redis', `${name}.lua`), 'utf8');
  return { text, sha: hash('sha1', text) };
};

const isMissing = (error: unknown): boolean =>
  error instanceof Error && error.message.startsWith('NOSCRIPT');

/**
 * The global dedupe layer. One script call a batch, on one Redis server: a script over keys of several cluster slots
 * is refused by Redis, so a cluster would need one call per tenant, keys tagged {tenant}.
 */
export const redisFirstSeen = ({
  redis,
  topicPrefix,
  onDegraded,
  onEmpty,
  onRecovered,
}: FirstSeenOptions) => {
  const prefix = `${topicPrefix}seen:`;
  const marker = markerOf(topicPrefix);
  const firstSeen = script('first-seen');
  const releasing = script('release');
  let degraded = false;
  let empty: number | null = null;
  /** Nothing was accepted yet, by anyone: what is not there was not lost. */
  let fresh = false;
  let looking: NodeJS.Timeout | undefined;
  let dialled: Promise<void> | undefined;
  let hangingUp = false;
  // A refused log-in is told by event only; the command just finds the connection closed.
  let refusal: PipelineError | null = null;
  redis.on('error', (cause: Error) => {
    const error = redisError(cause);
    if (error.verdict !== 'retry') refusal = error;
  });
  redis.on('close', () => {
    hangingUp = false;
  });
  redis.on('ready', () => {
    refusal = null;
  });
  redis.on('end', () => {
    clearInterval(looking);
  });

  const run = async (
    { text, sha }: Script,
    args: readonly (string | number | Buffer)[],
  ): Promise<unknown> => {
    // Only the first dialling is waited for. Later a command on a closed connection fails at once.
    if (redis.status === 'wait') dialled = redis.connect();
    await dialled;
    try {
      return await redis.callBuffer('EVALSHA', sha, 0, ...args);
    } catch (error) {
      if (!isMissing(error)) throw error;
      return await redis.callBuffer('EVAL', text, 0, ...args);
    }
  };

  /** Redis hangs: dial anew, so that the next batches fail at once instead of each waiting for its time-out. */
  const hangUp = (): void => {
    if (redis.status !== 'ready' || hangingUp) return;
    hangingUp = true;
    redis.disconnect(true);
  };

  /**
   * Null where Redis is away. One that is slow, restarts or lost its connection is given PATIENCE_MS first: what
   * passes without it may pass twice. Once it is known to be away nobody waits for it.
   * Only a refusal (wrong password, no scripts) stops the process: a person must act.
   */
  const tryRun = async (
    records: number,
    ...call: Parameters<typeof run>
  ): Promise<{ readonly reply: unknown } | null> => {
    const until = performance.now() + (degraded ? 0 : PATIENCE_MS);
    for (;;) {
      try {
        const reply = await run(...call);
        if (degraded) {
          degraded = false;
          tell();
        }
        return { reply };
      } catch (cause) {
        const error = refusal ?? redisError(cause);
        if (error.verdict !== 'retry') throw error;
        dialled = undefined;
        // Another task may have found out meanwhile.
        if (!degraded && performance.now() < until) {
          await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
          continue;
        }
        degraded = true;
        // They passed, and Redis does not know them.
        if (records > 0) fresh = false;
        hangUp();
        onDegraded(error, records);
        return null;
      }
    }
  };

  const tell = (): void => {
    if (empty === null) onRecovered();
    else onEmpty(empty);
  };

  /** Everything after the marker of the script's answer; null where Redis is away. */
  const ask = async (
    sightings: readonly Sighting[],
    spanMs: number,
  ): Promise<readonly (number | Buffer)[] | null> => {
    const { topics, packed } = pack(sightings);
    const answer = await tryRun(sightings.length, firstSeen, [
      prefix,
      spanMs,
      marker,
      fresh ? 1 : 0,
      topics.length,
      ...topics,
      packed,
    ]);
    if (answer === null) return null;
    fresh = false;
    const [kept, ...found] = answer.reply as readonly (number | Buffer)[];
    const since = emptySince(Number(String(kept)), spanMs, Date.now());
    if (since !== empty) {
      empty = since;
      tell();
      clearInterval(looking);
      if (empty !== null)
        looking = setInterval(() => {
          // A refusal is said by the next batch, which it stops.
          ask([], spanMs).catch(() => undefined);
        }, LOOK_MS).unref();
    }
    return found;
  };

  return {
    /**
     * Before the first batch: tells at once whether Redis lost what it knew. `nothingAccepted`: on a new installation
     * nothing is lost.
     * @throws PipelineError redis_refused (stop)
     */
    async begin(nothingAccepted: boolean, spanMs: number): Promise<void> {
      fresh = nothingAccepted;
      await ask([], spanMs);
    },

    /** @throws PipelineError redis_refused (stop) */
    async claim(
      sightings: readonly Sighting[],
      spanMs: number,
    ): Promise<readonly (First | null)[]> {
      const found = await ask(sightings, spanMs);
      if (found === null) return sightings.map(() => null);
      const firsts: First[] = [...sightings];
      for (let index = 0; index + 1 < found.length; index += 2) {
        const kept = unpack(found[index + 1] as Buffer);
        firsts[Number(found[index]) - 1] = { ...kept, messageId: messageId(kept.messageId) };
      }
      return firsts;
    },

    async release(releases: readonly Release[]): Promise<void> {
      const { topics, packed } = pack(releases);
      // No record passes undeduped for want of this: its key stays taken.
      await tryRun(0, releasing, [prefix, topics.length, ...topics, packed]);
    },
  };
};
