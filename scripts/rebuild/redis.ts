import { contentHash, keyHash } from '../../processors/dedupe/key.js';
import { holdsItsKey } from '../../processors/dedupe/held.js';
import { DEDUPE_SPAN_MS } from '../../processors/dedupe/span.js';
import type { Codecs } from '../../schemas/topic-codecs.js';
import type { FirstSeenRestorer, Restorable } from '../../sinks/redis/restore-first-seen.js';
import { partitionId } from '../../topologies/runtime/raw-record.js';
import type { ClientSettings } from '../../topologies/runtime/rdkafka-client.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import { readDecoded } from '../read/decoded.js';
import type { Figures } from '../replay/figures.js';
import type { Rebuild } from './run.js';

/** Offsets of requests that hold no key, by partition of ingest. */
export type Keyless = ReadonlyMap<string, ReadonlySet<number>>;

/** Read to the high watermark: a refusal commits together with the offset of its request, its marker perhaps later. */
export const keylessSince = async (
  settings: ClientSettings,
  codecs: Codecs,
  refused: TopicSpec,
  since: number,
): Promise<Keyless> => {
  const keyless = new Map<string, Set<number>>();
  for await (const batch of readDecoded({
    settings,
    codecs,
    topics: [refused],
    from: { since },
    to: 'high',
    deadlineMs: 600_000,
  }))
    for (const { decoded } of batch) {
      if (decoded.is !== 'MessageRefused' || holdsItsKey(decoded.value)) continue;
      const { topic, partition, offset } = decoded.value.source;
      const id = partitionId({ topic, partition });
      const known = keyless.get(id) ?? new Set();
      known.add(offset);
      keyless.set(id, known);
    }
  return keyless;
};

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * A key is held for a span from the time its record was written: when intake took it is not kept. createdAt where it
 * is later, as a request's age is told by it; never longer than a fresh entry.
 */
const expiryOf = (written: number, createdAt: number, now: number): number =>
  Math.min(Math.max(written, createdAt), now) + DEDUPE_SPAN_MS;

/** An entry that expires so soon may be gone before it is counted. */
const SOON_MS = 600_000;

/** Puts one batch of ingest's records back, or compares. */
export const redisHandler =
  (restorer: FirstSeenRestorer, keyless: () => Promise<Keyless>): Rebuild['handle'] =>
  async (batch, write): Promise<Figures> => {
    const freed = await keyless();
    const now = Date.now();
    const entries: Restorable[] = [];
    let [refused, unreadable, expired, soon] = [0, 0, 0, 0];
    for (const { at, decoded, timestamp } of batch) {
      if (decoded.is !== 'MessageRequest' || !UUID.test(decoded.value.messageId)) unreadable += 1;
      else if (freed.get(partitionId(at))?.has(at.offset) === true) refused += 1;
      else {
        const { value } = decoded;
        const expiresAt = expiryOf(timestamp, value.createdAt, now);
        if (expiresAt <= now) {
          expired += 1;
          continue;
        }
        if (expiresAt <= now + SOON_MS) soon += 1;
        entries.push({
          key: keyHash(value),
          content: contentHash(value),
          messageId: value.messageId,
          at,
          expiresAt,
        });
      }
    }
    const { absent, same, others } =
      entries.length === 0
        ? { absent: 0, same: 0, others: 0 }
        : await restorer.restore(entries, write);
    return { absent, same, others, refused, expired, unreadable, soon };
  };

/** Fewer keys than were found or put back: Redis throws keys away. Where all are there, it is told to be whole. */
export const redisCheck =
  (restorer: FirstSeenRestorer): Rebuild['check'] =>
  async ({ absent = 0, same = 0, soon = 0 }) => {
    const held = await restorer.count();
    if (held + soon < absent + same)
      return [
        `Redis holds ${held} keys, fewer than the ${absent + same} that were put back or found: does it evict (maxmemory-policy), or was it flushed meanwhile?`,
      ];
    await restorer.whole();
    return [];
  };
